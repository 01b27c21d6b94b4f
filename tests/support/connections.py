"""The TCP connections of this machine, as Linux tells them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

_OPEN = {"01", "08"}  # ESTABLISHED, and CLOSE_WAIT: ended by the peer alone (include/net/tcp_states.h)
_OVER = {"06", "0A"}  # TIME_WAIT; LISTEN is none


def connections_to(url: str) -> int:
    """Return how many connections lead to a server on this machine."""
    port = f":{urlsplit(url).port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(port) and row[3] in _OPEN for row in rows)


def connections_of(url: str) -> int:
    """Return how many connections a server on this machine, or the kernel for it, still has something to do with."""
    port = f":{urlsplit(url).port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(port) and row[3] not in _OVER for row in rows)
