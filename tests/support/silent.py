"""Servers that fall silent in one phase of an exchange, so that a test sees who waits for ever.

Each scene holds a real router's key where the phase comes after it. In this process `socket.getaddrinfo` is slow while
the scene of the lookup lasts; a process of its own gets the same from `Scene.environment`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

from support.faults import deaf_host

TIMEOUT_S = 0.3
"""Of a client that is sent to a scene."""
LATEST_S = 2.5
"""When it has ended at the latest: a machine under load is slow to wake."""
LARGE: list[Any] = [{"role": "user", "content": "a" * 3_000_000}]
"""Messages that no socket's buffer holds."""
SLOW_NAME = "a-name-without-an-answer.invalid"
LOOKUP_S = 4.0
"""How long the lookup of SLOW_NAME hangs: a thread waits for it, and its process at the end."""
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
_SLOW_LOOKUP = f"""
import socket, time
_quick = socket.getaddrinfo
def _slow(host, *args, **kwargs):
    if host in ({SLOW_NAME!r}, {SLOW_NAME.encode()!r}):
        time.sleep({LOOKUP_S})
    return _quick(host, *args, **kwargs)
socket.getaddrinfo = _slow
"""


@dataclass(frozen=True)
class Scene:
    """Where a client is sent, and what its environment says."""

    url: str
    environment: dict[str, str] = field(default_factory=dict)


Phase = Callable[[str], AbstractContextManager[Scene]]
"""Takes the URL of a real router."""


@contextmanager
def lookup(_router_url: str) -> Iterator[Scene]:
    """Yield a host whose name is looked up for a long time."""
    quick, left = socket.getaddrinfo, threading.Event()

    def slow(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host in (SLOW_NAME, SLOW_NAME.encode()):
            left.wait(LOOKUP_S)
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return quick(host, *args, **kwargs)

    with TemporaryDirectory() as directory, mock.patch.object(socket, "getaddrinfo", slow):
        Path(directory, "sitecustomize.py").write_text(_SLOW_LOOKUP)
        yield Scene(f"http://{SLOW_NAME}:9", {"PYTHONPATH": directory})
        left.set()


@contextmanager
def connect(_router_url: str) -> Iterator[Scene]:
    """Yield a host that takes no connection."""
    with deaf_host() as url:
        yield Scene(url)


@contextmanager
def proxy(_router_url: str) -> Iterator[Scene]:
    """Yield a host behind a proxy that never answers CONNECT."""
    with serving(_silence) as port:
        yield Scene("https://127.0.0.2", {"HTTPS_PROXY": f"http://127.0.0.1:{port}"})


@contextmanager
def tls(_router_url: str) -> Iterator[Scene]:
    """Yield a host that never answers the TLS handshake."""
    with serving(_silence) as port:
        yield Scene(f"https://127.0.0.1:{port}")


def unread(router_url: str, context: ssl.SSLContext | None = None) -> AbstractContextManager[Scene]:
    """Yield a router that reads no body: one of 3 MB does not get out."""
    return scene_of(router_url, _no_answer, reads=False, context=context)


def first_byte(router_url: str) -> AbstractContextManager[Scene]:
    """Yield a router that reads the request and never answers."""
    return scene_of(router_url, _no_answer)


def head(router_url: str) -> AbstractContextManager[Scene]:
    """Yield a router whose answer's headers come byte by byte, without an end."""
    return scene_of(router_url, lambda talk, left: _drip(talk, left, HEAD + b"X-Long: "))


def data(router_url: str) -> AbstractContextManager[Scene]:
    """Yield a router that falls silent within the body."""
    return scene_of(router_url, lambda talk, _: talk.sendall(HEAD + b"Content-Length: 1000\r\n\r\n" + b"x" * 10))


def body(router_url: str) -> AbstractContextManager[Scene]:
    """Yield a router whose body comes byte by byte, without an end."""
    return scene_of(router_url, lambda talk, left: _drip(talk, left, HEAD + b"Content-Length: 100000\r\n\r\n"))


BEFORE_SENT: dict[str, Phase] = {"lookup": lookup, "connect": connect, "proxy": proxy, "tls": tls}
"""Phases without a connection that a request could be sent on."""
AFTER: dict[str, Phase] = {"upload": unread, "first byte": first_byte, "head": head, "data": data, "body": body}
PHASES: dict[str, Phase] = BEFORE_SENT | AFTER


@contextmanager
def slow_reader(router_url: str, pause_s: float, piece_bytes: int = 128 * 1024) -> Iterator[Scene]:
    """Yield a router that reads a body slowly, but goes on; then it says 402, which nobody sends again."""

    def answer(talk: socket.socket, _: threading.Event) -> None:
        talk.sendall(b"HTTP/1.1 402 Payment Required\r\nContent-Length: 0\r\n\r\n")

    with serving(lambda talk, left: _relay(talk, left, router_url, answer, pause_s, piece_bytes)) as port:
        yield Scene(f"http://127.0.0.1:{port}")


Talk = Callable[[socket.socket, threading.Event], None]


@contextmanager
def scene_of(
    router_url: str, answer: Talk, *, reads: bool = True, context: ssl.SSLContext | None = None
) -> Iterator[Scene]:
    """Yield a router that answers each completion in its own way, with or without reading its body before."""
    piece_bytes = 1 << 20 if reads else 0
    with serving(lambda talk, left: _relay(talk, left, router_url, answer, 0.0, piece_bytes), context) as port:
        yield Scene(f"http{'s' if context else ''}://127.0.0.1:{port}")


@contextmanager
def serving(talk: Talk, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Yield a port of this machine whose connections are each given to `talk`, in a thread, and closed at its end."""
    left = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)  # so that less gets out unread
        listener.settimeout(0.05)
        accepting = threading.Thread(target=_accept, args=(listener, talk, left, context))
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            left.set()
            accepting.join()


def _accept(listener: socket.socket, talk: Talk, left: threading.Event, context: ssl.SSLContext | None) -> None:
    threads = []
    while not left.is_set():
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            threads.append(threading.Thread(target=_converse, args=(connection, talk, left, context)))
            threads[-1].start()
    for thread in threads:
        thread.join()


def _converse(connection: socket.socket, talk: Talk, left: threading.Event, context: ssl.SSLContext | None) -> None:
    with connection, contextlib.suppress(OSError):
        connection.settimeout(5)  # for the handshake
        with context.wrap_socket(connection, server_side=True) if context else contextlib.nullcontext(connection) as s:
            s.settimeout(0.05)
            talk(s, left)
            left.wait()


def _silence(_talk: socket.socket, left: threading.Event) -> None:
    left.wait()


def _no_answer(_talk: socket.socket, left: threading.Event) -> None:
    left.wait()


def _drip(talk: socket.socket, left: threading.Event, beginning: bytes) -> None:
    talk.sendall(beginning)
    while not left.wait(0.02):
        talk.sendall(b"x")


def _relay(
    talk: socket.socket, left: threading.Event, router_url: str, answer: Talk, pause_s: float, piece_bytes: int
) -> None:
    """Pass the question for the key on to the router; read a completion's body in pieces, none of size 0; answer."""
    while True:
        head_bytes, rest = _head(talk, left)
        method, path = head_bytes.split(b" ", 2)[:2]
        if method == b"GET":
            with urllib.request.urlopen(router_url + path.decode()) as answered:
                content = answered.read()
            talk.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content)
            continue
        if piece_bytes:
            _read_body(talk, left, _length(head_bytes) - len(rest), pause_s, piece_bytes)
        answer(talk, left)
        return


def _head(talk: socket.socket, left: threading.Event) -> tuple[bytes, bytes]:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _received(talk, left, 1024)
    head_bytes, _, rest = received.partition(b"\r\n\r\n")
    return head_bytes, rest


def _length(head_bytes: bytes) -> int:
    lines = (line.lower().partition(b":") for line in head_bytes.split(b"\r\n"))
    return next((int(value) for name, _, value in lines if name == b"content-length"), 0)


def _read_body(talk: socket.socket, left: threading.Event, missing: int, pause_s: float, piece_bytes: int) -> None:
    while missing > 0:
        time.sleep(pause_s)
        missing -= len(_received(talk, left, min(missing, piece_bytes)))


def _received(talk: socket.socket, left: threading.Event, size: int) -> bytes:
    while not left.is_set():
        with contextlib.suppress(TimeoutError):
            received = talk.recv(size)
            if not received:
                raise ConnectionResetError
            return received
    raise ConnectionAbortedError
