"""A tap on the wire: passes plain TCP on to a server, and keeps every byte that went either way."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self
from urllib.parse import urlsplit

CHUNK_BYTES = 65_536


class Tap:
    """Listens in front of a server until the `with` block ends."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._lock = threading.Lock()
        self._seen: list[bytes] = []
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    @property
    def seen(self) -> bytes:
        """All that went over the wire so far."""
        with self._lock:
            return b"".join(self._seen)

    def __enter__(self) -> Self:
        self._begin(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            ends = [self._listening, *self._open]
        for end in ends:
            with contextlib.suppress(OSError):  # closed by its peer
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for end in [self._listening, *self._open]:
            end.close()

    def _begin(self, work: object, *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # shut down: the end
            while True:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
                with self._lock:
                    self._open += [near, far]
                self._begin(self._pass_on, near, far)
                self._begin(self._pass_on, far, near)

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                with self._lock:
                    self._seen.append(data)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
