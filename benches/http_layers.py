"""What a request costs the event loop's thread: httpx's client, its transport alone, and aiohttp alone, 32 at once."""

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
from httpx_aiohttp import HttpxAiohttpClient
from replaying import replaying_server

AT_ONCE = 32
REQUESTS = 4000
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
    client = HttpxAiohttpClient(verify=context)
    parsed = httpx.URL(url)
    transport = client._transport_for_url(parsed)
    extensions = {"timeout": httpx.Timeout(60).as_dict()}

    async def through_client() -> None:
        request = client.build_request("POST", url, headers=HEADERS, content=BODY)
        response = await client.send(request, stream=True)
        await response.aread()
        await response.aclose()

    async def through_transport() -> None:
        request = httpx.Request("POST", parsed, headers=HEADERS, content=BODY, extensions=extensions)
        response = await transport.handle_async_request(request)
        await response.aread()
        await response.aclose()

    measured = {
        "httpx's client": await _time_of(through_client),
        "its transport over aiohttp: what is used": await _time_of(through_transport),
    }
    await client.aclose()
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def through_aiohttp() -> None:
            async with session.post(url, headers=HEADERS, data=BODY, allow_redirects=False) as response:
                await response.read()

        measured["aiohttp alone"] = await _time_of(through_aiohttp)
    return measured


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
