"""An HTTP proxy that refuses everything, and keeps what it was asked for: where a program would go on the internet."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

_REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class RefusingProxy:
    """The proxy, on a free port, while a `with` block lasts."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._asked: list[bytes] = []
        self._thread = threading.Thread(target=self._serve)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    @property
    def targets(self) -> set[str]:
        """The hosts that it was asked for."""
        lines = (head.split(b"\r\n", 1)[0].split(b" ") for head in self._asked)
        urls = (line[1].decode() for line in lines if len(line) == 3)
        return {url.partition("://")[2].split("/")[0] if "://" in url else url for url in urls}

    @property
    def seen(self) -> bytes:
        """All that it was sent."""
        return b"".join(self._asked)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # shut down: the end
            while True:
                connection, _ = self._listening.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(5)
                    self._asked.append(connection.recv(65_536))
                    connection.sendall(_REFUSAL)
