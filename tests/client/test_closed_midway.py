"""A connection that ends while an answer is coming in: closed by its client, or reset."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time

import pytest

from nomyo.exchange.effects import NetworkFailure, Request, Response, Timeouts
from nomyo.exchange.http import AsyncHttp
from nomyo.exchange.settings import Settings
from support.raw_server import read_request
from support.silent import serving
from support.twins import Twin

PATIENT = Timeouts(60, 60, 60)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n", HEAD + b"\r\n"])
def test_answer_whose_connection_is_reset_is_not_whole(twin: Twin, head: bytes) -> None:
    """Also if it ends with its connection (RFC 9112, section 8): what came would be a package cut short."""

    def talk(connection: socket.socket, left: threading.Event) -> None:
        read_request(connection, left)
        connection.sendall(head + b"half")
        time.sleep(0.05)  # so that the reset does not overtake it
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with serving(talk) as port:
        url = f"http://127.0.0.1:{port}/"
        outcome = twin.call(twin.client(url)._http.send, Request("POST", url, {}, b"x", 1000, PATIENT))
    assert isinstance(outcome, NetworkFailure)
    assert (outcome.reason, outcome.connected, outcome.lasting) == ("Connection reset by peer", True, False)


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
