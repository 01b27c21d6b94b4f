"""What an answer that is malformed, endless or silent as HTTP gets: a connection error, within bounds."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nomyo
from support.twins import Twin


class RawServer:
    """Answers every connection with the same bytes, after a request was read; then closes or hangs."""

    def __init__(self, answer: bytes, *, hang: bool = False, drip: bytes = b"") -> None:
        self._answer, self._hang, self._drip = answer, hang, drip
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.sent_bytes = 0

    def stop(self) -> None:
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                received = b""
                while b"\r\n\r\n" not in received and (chunk := connection.recv(65536)):
                    received += chunk
                connection.sendall(self._answer)
                while self._drip and not self._stopped.wait(0.05):
                    connection.sendall(self._drip)
                    self.sent_bytes += len(self._drip)
                if self._hang:
                    self._stopped.wait(10)
            except OSError:
                pass


@pytest.fixture
def raw_server() -> Iterator[Callable[..., RawServer]]:
    made: list[RawServer] = []

    def make(answer: bytes, **options: Any) -> RawServer:
        made.append(RawServer(answer, **options))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot-a-size\r\n",
        b"HTTP/1.1 999999 What\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x00\x00",
    ],
    ids=["nothing", "garbage", "short", "chunk", "status", "length", "header", "long header", "tls"],
)
def test_malformed_http_is_a_connection_error(
    twin: Twin, key_directory: Path, raw_server: Callable[..., RawServer], sleeps: list[float], answer: bytes
) -> None:
    client = twin.client(raw_server(answer).url, key_dir=key_directory, max_retries=1)

    with pytest.raises(nomyo.APIConnectionError) as raised:
        twin.call(client.fetch_server_public_key)

    assert sleeps == [1.0]
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_endless_body_is_cut_at_its_bound(
    twin: Twin, key_directory: Path, raw_server: Callable[..., RawServer]
) -> None:
    server = raw_server(b"HTTP/1.1 200 OK\r\n\r\n", drip=b"x" * 8192)
    client = twin.client(server.url, key_dir=key_directory, max_retries=0)

    with pytest.raises(nomyo.SecurityError, match="larger than 16384 bytes"):
        twin.call(client.fetch_server_public_key)

    assert server.sent_bytes < 2**20


def test_announced_size_beyond_the_bound_is_refused_unread(
    twin: Twin, key_directory: Path, raw_server: Callable[..., RawServer]
) -> None:
    server = raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", hang=True)
    client = twin.client(server.url, key_dir=key_directory, max_retries=0)

    with pytest.raises(nomyo.SecurityError, match="larger than 16384 bytes"):
        twin.call(client.fetch_server_public_key)


def test_silent_server_times_out(twin: Twin, key_directory: Path, raw_server: Callable[..., RawServer]) -> None:
    client = twin.client(raw_server(b"", hang=True).url, key_dir=key_directory, max_retries=0, timeout=0.2)

    with pytest.raises(nomyo.APIConnectionError, match="timed out") as raised:
        twin.call(client.fetch_server_public_key)

    assert raised.value.timed_out


def test_dripping_body_times_out(twin: Twin, key_directory: Path, raw_server: Callable[..., RawServer]) -> None:
    server = raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n", drip=b"x")
    client = twin.client(server.url, key_dir=key_directory, max_retries=0, timeout=0.4)

    with pytest.raises(nomyo.APIConnectionError, match="timed out") as raised:
        twin.call(client.fetch_server_public_key)

    assert raised.value.timed_out
