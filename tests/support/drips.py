"""A router whose answer never ends: after a beginning, the same few bytes come again and again, each soon enough for a
timeout between reads."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

from support.silent import Scene, Talk, scene_of, serving

EVERY_S = 0.02
LASTS_S = 12.0
"""When the drip ends after all, with the connection: who waits for it is late, and not held for ever."""
LATEST_S = 0.75 * LASTS_S
"""When what a timeout ends must be over: a machine under load is slow to wake."""
_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"


class Drip(NamedTuple):
    """An answer's beginning, and what then comes without an end."""

    beginning: bytes
    piece: bytes


HEADS: dict[str, Drip] = {
    "empty lines": Drip(b"", b"\r\n"),
    "status line": Drip(b"HTTP/1.1 200 ", b"x"),
    "header name": Drip(_OK, b"x"),
    "header value": Drip(_OK + b"X-Long: ", b"x"),
    "headers": Drip(_OK, b"X: y\r\n"),
    "100": Drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103": Drip(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
    "header of 102": Drip(b"HTTP/1.1 102 Processing\r\nX-Long: ", b"x"),
}
BODIES: dict[str, Drip] = {
    "body": Drip(_OK + b"Content-Length: 10000\r\n\r\n", b"x"),
    "body without a length": Drip(_OK + b"\r\n", b"x"),
    "body of an error": Drip(b"HTTP/1.1 402 Payment Required\r\nContent-Length: 10000\r\n\r\n", b"x"),
    "chunks": Drip(_CHUNKED, b"1\r\nx\r\n"),
    "chunk size": Drip(_CHUNKED, b"0"),
    "chunk extension": Drip(_CHUNKED + b"1;", b"x"),
    "chunk extensions": Drip(_CHUNKED + b"1", b";a=b"),
    "trailers": Drip(_CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n"),
    "trailer": Drip(_CHUNKED + b"1\r\nx\r\n0\r\nX-Long: ", b"x"),
}
DRIPS: dict[str, Drip] = HEADS | BODIES


def failure_of(ask: Callable[[], Any]) -> BaseException:
    """Return what a request fails with, which must come before the drip ends."""
    began_s = time.monotonic()
    with pytest.raises(Exception) as raised:
        ask()
    assert time.monotonic() - began_s < LATEST_S
    return raised.value


@contextmanager
def dripping_completions(router_url: str, drip: Drip, context: ssl.SSLContext | None = None) -> Iterator[Scene]:
    """Yield a router that gives its key, and answers each completion with a drip."""
    with scene_of(router_url, _talk(drip), context=context) as scene:
        yield scene


@contextmanager
def dripping(drip: Drip, *, after: bytes = b"\r\n\r\n") -> Iterator[int]:
    """Yield the port of a server that waits for some bytes, and then drips."""
    pour = _talk(drip)

    def talk(connection: socket.socket, left: threading.Event) -> None:
        _read_to(connection, after)
        pour(connection, left)

    with serving(talk) as port:
        yield port


@contextmanager
def dripping_key(drip: Drip) -> Iterator[str]:
    """Yield the URL of a router that answers the question for its key with a drip."""
    with dripping(drip) as port:
        yield f"http://127.0.0.1:{port}"


def _talk(drip: Drip) -> Talk:
    def talk(connection: socket.socket, left: threading.Event) -> None:
        connection.sendall(drip.beginning)
        for _ in range(int(LASTS_S / EVERY_S)):
            if left.wait(EVERY_S):
                return
            connection.sendall(drip.piece)
        connection.shutdown(socket.SHUT_RDWR)

    return talk


def _read_to(connection: socket.socket, end: bytes) -> None:
    connection.settimeout(5)
    received = b""
    while end not in received:
        piece = connection.recv(4096)
        if not piece:
            raise ConnectionResetError
        received += piece
