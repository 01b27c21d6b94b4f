"""A server of ours hangs up on clients that hold a connection and do nothing with it."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from nomyo.serve.bounds import Bounds
from nomyo.serve.listener import Listener
from nomyo.serve.server import BackgroundServer
from support.one_answer import one_answer
from support.raw_client import connect
from support.tls import Authority

# More than the sockets' buffers hold, and as much as they do.
ANSWER_BYTES = 32 * 1024 * 1024
HELD_BYTES = 3 * 512 * 1024


@pytest.fixture
def server() -> Iterator[BackgroundServer]:
    with BackgroundServer(one_answer(ANSWER_BYTES), Listener(bounds=Bounds(head_s=0.5, stall_s=0.5))) as server:
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


def test_client_that_reads_slowly_but_steadily_gets_all() -> None:
    with (
        BackgroundServer(one_answer(ANSWER_BYTES), Listener(bounds=Bounds(head_s=0.5, stall_s=20))) as server,
        connected(server) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(1)  # longer than the headers may take, which have come
        assert drained(connection) > ANSWER_BYTES


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.slow("a client that takes six seconds to read")
def test_client_that_takes_slowly_what_the_kernel_holds_gets_all(tls_authority: Authority, tls: bool) -> None:
    files: dict[str, Any] = {"tls_cert": tls_authority.certificate, "tls_key": tls_authority.key} if tls else {}
    listener = Listener(bounds=Bounds(idle_s=0.5, stall_s=2), **files)
    ca = tls_authority.ca if tls else None
    with (
        BackgroundServer(one_answer(HELD_BYTES, says_its_length=True), listener) as server,
        connect(server.url, ca) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        received = 0
        while data := connection.recv(16 * 1024):
            received += len(data)
            time.sleep(0.06)  # 6 seconds in all
        assert received > HELD_BYTES
