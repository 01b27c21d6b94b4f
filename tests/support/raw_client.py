"""A client that sends bytes of a test's own, and sees how long a server holds the connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass
class Held:
    """What came back on a connection, and when it ended; None where it did not."""

    received: bytes = b""
    seconds: float | None = None
    statuses: list[int] = field(default_factory=list)


def connect(url: str, ca: Path | None = None) -> socket.socket:
    """Return a connection to a server; over TLS where its URL says so."""
    parts = urlsplit(url)
    plain = socket.create_connection(("127.0.0.1", parts.port), timeout=30)
    if ca is None:
        return plain
    return ssl.create_default_context(cafile=str(ca)).wrap_socket(plain, server_hostname="127.0.0.1")


def hold(connection: socket.socket, drip: bytes = b"", *, longest_s: float) -> Held:
    """Send a drip of bytes until the server ends the connection, reading along.

    Args:
        connection: Where something was sent, or nothing.
        drip: Sent ten times a second; nothing where it is empty.
        longest_s: For which it is tried.
    """
    began_at = time.monotonic()
    held = Held()
    connection.settimeout(0.1)
    while time.monotonic() - began_at < longest_s:
        with contextlib.suppress(OSError):  # what was sent before may have been answered
            connection.sendall(drip)
        try:
            data = connection.recv(1 << 16)
        except TimeoutError:
            continue
        except OSError:
            data = b""
        if not data:
            held.seconds = time.monotonic() - began_at
            break
        held.received += data
    held.statuses = [int(part[:3]) for part in held.received.split(b"HTTP/1.1 ")[1:]]
    return held
