"""A proxy that the environment names: it refuses with a status, or connects whom it is told to."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import nomyo
from support.silent import serving
from support.twins import Twin

HELLO = [{"role": "user", "content": "Hello"}]
NOWHERE = "https://router.invalid"
HTML = b"<html>the proxy's own page</html>"


class Told:
    """What a proxy was told: the first line of each request, and its credentials."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.credentials: list[str] = []

    def note(self, head: bytes) -> list[str]:
        lines = head.decode("ascii").split("\r\n")
        self.lines.append(lines[0])
        self.credentials += [line.partition(": ")[2] for line in lines if line.lower().startswith("proxy-auth")]
        return lines[0].split(" ")


@contextmanager
def proxy(
    status: str | None = None, context: ssl.SSLContext | None = None, body: bytes = HTML
) -> Iterator[tuple[int, Told]]:
    """Yield the port of a proxy that answers everything with a status, or connects whom it is told to."""
    told = Told()

    def talk(connection: socket.socket, left: threading.Event) -> None:
        head = b""
        while not (head.endswith(b"\r\n\r\n") or left.is_set()):
            with contextlib.suppress(TimeoutError):
                received = connection.recv(1)
                if not received:
                    return
                head += received
        if left.is_set():
            return
        _, target, _ = told.note(head)
        if status is None:
            _tunnel(connection, target, left)
            return
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        connection.shutdown(socket.SHUT_WR)

    with serving(talk, context) as port:
        yield port, told


def _tunnel(connection: socket.socket, target: str, left: threading.Event) -> None:
    host, _, port = target.rpartition(":")
    with socket.create_connection((host, int(port))) as router:
        connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        router.settimeout(0.05)
        ends = {connection: router, router: connection}
        while not left.is_set():
            pending = isinstance(connection, ssl.SSLSocket) and connection.pending() > 0
            ready = [connection] if pending else select.select(list(ends), [], [], 0.05)[0]
            for end in ready:
                with contextlib.suppress(TimeoutError):
                    received = end.recv(65536)
                    if not received:
                        return
                    ends[end].sendall(received)


def failed(twin: Twin, url: str, key_directory: Path, expected: type[nomyo.APIConnectionError]) -> Any:
    chat = twin.chat(url, key_dir=key_directory, api_key="secret-token")
    with pytest.raises(nomyo.APIConnectionError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)
    assert type(raised.value) is expected
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert "secret" not in str(raised.value)
    assert not raised.value.sent
    return raised.value
