"""A server of ours hangs up on clients that hold a connection and do nothing with it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from starlette.types import Receive, Scope, Send

from nomyo.serve import timed_http
from nomyo.serve.listener import Listener
from nomyo.serve.server import BackgroundServer

ANSWER_BYTES = 32 * 1024 * 1024


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with more than the sockets' buffers hold."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": bytes(ANSWER_BYTES)})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[BackgroundServer]:
    monkeypatch.setattr(timed_http, "HEADERS_TIMEOUT_S", 0.5)
    monkeypatch.setattr(timed_http, "STALL_TIMEOUT_S", 0.5)
    with BackgroundServer(application, Listener()) as server:
        yield server


def connected(server: BackgroundServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), timeout=20)


def drained(connection: socket.socket) -> int:
    """Read until the other side hangs up; return how many bytes came."""
    count = 0
    try:
        while data := connection.recv(1 << 20):
            count += len(data)
    except ConnectionResetError:
        pass
    return count


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX-Never: "])
def test_client_that_sends_no_request_is_hung_up_on(server: BackgroundServer, sent: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(sent)
        assert drained(connection) == 0


def read_answer(connection: socket.socket) -> None:
    received = 0
    while received < ANSWER_BYTES:
        data = connection.recv(1 << 20)
        assert data
        received += len(data)


def test_headers_that_do_not_end_are_not_waited_for_on_a_used_connection_either(server: BackgroundServer) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        read_answer(connection)
        began_at = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\r\n")
        drained(connection)
        assert time.monotonic() - began_at < 15  # the pause between two requests may last 60 s


def test_client_that_has_read_may_ask_again_later(server: BackgroundServer) -> None:
    with connected(server) as connection:
        for _ in range(2):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            read_answer(connection)
            time.sleep(1)  # longer than an answer may lie unread


def test_client_that_does_not_read_is_hung_up_on(server: BackgroundServer) -> None:
    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        time.sleep(2)
        assert drained(connection) < ANSWER_BYTES


def test_client_that_reads_slowly_but_steadily_gets_all(
    server: BackgroundServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timed_http, "STALL_TIMEOUT_S", 20)
    with connected(server) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(1)  # longer than the headers may take, which have come
        assert drained(connection) > ANSWER_BYTES
