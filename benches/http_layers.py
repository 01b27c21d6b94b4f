"""What a request costs the event loop's thread: httpx's client, its transport alone, and aiohttp alone, 32 at once.

`python benches/http_layers.py`. The server, certificates and sizes are those of the throughput run.
"""

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
from throughput import replaying_server

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


async def measure(name: str, ask: Ask) -> None:
    """Print the processor time of this thread for one request."""
    await asyncio.gather(*(ask() for _ in range(AT_ONCE)))
    left = REQUESTS

    async def work() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await ask()

    began = time.thread_time()
    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    print(f"{name:16} {(time.thread_time() - began) / REQUESTS * 1e3:.2f} ms a request")


async def compare(url: str, context: ssl.SSLContext) -> None:
    """Measure the three layers."""
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

    await measure("httpx's client", through_client)
    await measure("its transport", through_transport)
    await client.aclose()
    connector = aiohttp.TCPConnector(ssl=context)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def through_aiohttp() -> None:
            async with session.post(url, headers=HEADERS, data=BODY, allow_redirects=False) as response:
                await response.read()

        await measure("aiohttp", through_aiohttp)


def main() -> None:
    """Run the comparison."""
    with tempfile.TemporaryDirectory() as directory:
        key = rsa.generate_private_key(65537, 4096)
        with replaying_server(Path(directory), key) as (url, environment):
            context = ssl.create_default_context(cafile=environment["SSL_CERT_FILE"])
            asyncio.run(compare(f"{url}/v1/chat/secure_completion", context))


if __name__ == "__main__":
    main()
