"""A client that is closed while an answer is coming in: the request ends at once."""

from __future__ import annotations

import asyncio

import pytest

from nomyo.exchange.effects import NetworkFailure, Request, Response, Timeouts
from nomyo.exchange.http import AsyncHttp
from nomyo.exchange.settings import Settings

PATIENT = Timeouts(60, 60, 60)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"


@pytest.mark.parametrize("begun", [HEAD, HEAD + b"\r\n", HEAD + b"\r\nhalf"], ids=["head", "no body", "half a body"])
def test_request_ends_when_its_connections_are_closed(begun: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\nx")
        writer.write(begun)
        await writer.drain()
        sent.set()
        await reader.read()
        writer.close()

    async def outcome() -> Response | NetworkFailure:
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            http = AsyncHttp(Settings(base_url=url, allow_http=True))
            sending = asyncio.create_task(http.send(Request("POST", url, {}, b"x", 1000, PATIENT)))
            await sent.wait()
            await asyncio.sleep(0.05)  # what was sent is read
            await http.aclose()
            return await asyncio.wait_for(sending, 5)

    sent = asyncio.Event()
    ended = asyncio.run(outcome())
    assert isinstance(ended, NetworkFailure)
    assert not ended.timed_out
