"""A server whose answers are bytes of a test's own, in one segment each, on connections that it keeps open."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from support.silent import serving

SENDING_S = 10.0
"""How long a client may take to read an answer: a machine under load is slow to."""
Answers = Callable[[int], bytes]
"""Takes the number of a request, from 1."""


@dataclass
class RawServer:
    """What a server is reached by, and what it saw."""

    url: str = ""
    requests: int = 0
    answered: int = 0
    """Answers that are out as a whole, so that the client's kernel has them; or whose connection the client closed."""
    connections: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next_request(self) -> int:
        with self._lock:
            self.requests += 1
            return self.requests

    def note_answer(self) -> None:
        with self._lock:
            self.answered += 1


def framed(body: bytes, status: int = 200, headers: bytes = b"") -> bytes:
    """Return an answer with its length."""
    return b"HTTP/1.1 %d As said\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), headers, body)


@contextmanager
def raw_server(answers: Answers, context: ssl.SSLContext | None = None, *, reads: bool = True) -> Iterator[RawServer]:
    """Yield a server that reads each request whole, or its head alone, and answers it."""
    server = RawServer()

    def talk(connection: socket.socket, left: threading.Event) -> None:
        server.connections += 1
        with contextlib.suppress(ConnectionError):
            while not left.is_set():
                read_request(connection, left, reads=reads)
                _send(connection, server, answers(server.next_request()))
                if not reads:
                    return

    with serving(talk, context) as port:
        server.url = f"http{'s' if context else ''}://127.0.0.1:{port}/"
        yield server


def _send(connection: socket.socket, server: RawServer, answer: bytes) -> None:
    waits_s = connection.gettimeout()
    connection.settimeout(SENDING_S)
    try:
        connection.sendall(answer)
    finally:
        server.note_answer()
    connection.settimeout(waits_s)


def read_request(connection: socket.socket, left: threading.Event, *, reads: bool = True) -> None:
    """Read a request whole, or its head alone."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += _received(connection, left, 4096)
    head, _, body = received.partition(b"\r\n\r\n")
    announced = re.search(rb"(?i)content-length: (\d+)", head)
    missing = int(announced[1]) - len(body) if announced and reads else 0
    while missing > 0:
        missing -= len(_received(connection, left, missing))


def _received(connection: socket.socket, left: threading.Event, size: int) -> bytes:
    while not left.is_set():
        with contextlib.suppress(TimeoutError):
            received = connection.recv(size)
            if not received:
                raise ConnectionResetError
            return received
    raise ConnectionAbortedError
