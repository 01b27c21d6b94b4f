"""What HTTP costs the event loop's thread for a request: httpx, our way over aiohttp, aiohttp alone; 32 at once."""

from __future__ import annotations

import asyncio
import ssl
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import httpx
from cryptography.hazmat.primitives.asymmetric import rsa
from extent import extent
from replaying import replaying_server

from nomyo.exchange.effects import Request, Response
from nomyo.exchange.http.session import Session
from nomyo.exchange.settings import Settings

AT_ONCE = 32
REQUESTS = extent(1500, 50)
BODY = bytes(1800)
HEADERS = {
    "X-Payload-ID": "0" * 36,
    "X-Public-Key": "A" * 900,
    "Content-Type": "application/octet-stream",
    "Accept-Encoding": "identity",
    "Authorization": "Bearer a-key",
}

Ask = Callable[[], Awaitable[None]]


async def _time_of(ask: Ask) -> float:
    """Return the processor time of this thread for one request, in milliseconds."""
    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    left = REQUESTS

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await ask()

    began = time.thread_time()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return (time.thread_time() - began) / REQUESTS * 1e3


async def _compare(url: str, context: ssl.SSLContext) -> dict[str, float]:
    return {
        "httpx": await _httpx(url, context),
        "ours over aiohttp: what is used": await _ours(url, context),
        "aiohttp alone": await _aiohttp(url, context),
    }


async def _httpx(url: str, context: ssl.SSLContext) -> float:
    async with httpx.AsyncClient(verify=context, limits=httpx.Limits(max_keepalive_connections=AT_ONCE)) as client:

        async def ask() -> None:
            request = client.build_request("POST", url, headers=HEADERS, content=BODY)
            response = await client.send(request, stream=True)
            await response.aread()
            await response.aclose()

        return await _time_of(ask)


async def _ours(url: str, context: ssl.SSLContext) -> float:
    session = Session(Settings(base_url=url, api_key=""), context)
    request = Request("POST", url, HEADERS, BODY, response_limit_bytes=1024 * 1024)

    async def ask() -> None:
        outcome = await session.exchange(request)
        assert isinstance(outcome, Response)

    try:
        return await _time_of(ask)
    finally:
        await session.aclose()


async def _aiohttp(url: str, context: ssl.SSLContext) -> float:
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def ask() -> None:
            async with session.post(url, headers=HEADERS, data=BODY, allow_redirects=False) as response:
                await response.read()

        return await _time_of(ask)


def measure() -> dict[str, float]:
    """Return milliseconds a request by layer, the best of three rounds."""
    with tempfile.TemporaryDirectory() as directory:
        key = rsa.generate_private_key(65537, 4096)
        with replaying_server(Path(directory), key) as replay:
            context = ssl.create_default_context(cafile=replay.environment["SSL_CERT_FILE"])
            url = f"{replay.url}/v1/chat/secure_completion"
            rounds = [asyncio.run(_compare(url, context)) for _ in range(3)]
    return {layer: min(measured[layer] for measured in rounds) for layer in rounds[0]}


if __name__ == "__main__":
    print(measure())
