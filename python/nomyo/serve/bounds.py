"""Bounds what a stranger may use of a server: connections, and how long each state of a connection lasts."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

_MOST_CONNECTIONS: Final = 2048
# Descriptors for other uses: key files, the log, the event loop, and connections accepted while others are closing.
_RESERVED_DESCRIPTORS: Final = 64
# A connection may need another one, to the router or to an upstream.
_DESCRIPTORS_FOR_EACH: Final = 2
_FEWEST_CONNECTIONS: Final = 16


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long each state of a connection may last, in seconds, and how many connections there may be.

    Args:
        head_s: For a TLS handshake; and for a request's head, from the connection or the head's first byte to its end.
        idle_s: From the end of an answer to the first byte of the next request.
        body_s: From the end of a head to the end of its body. Applications answer earlier, with 408.
        stall_s: While a client reads nothing of an answer; and for reading its rest once all is written. On Linux, the
            kernel drops the data that it holds after the same time.
        answer_s: From an answer's first byte until all of it is in the sockets' buffers.
        linger_s: If a request is answered before all of it arrived, how long its rest is still read and dropped.
        linger_bytes: How much of that rest is read.
        connections: How many connections there may be at once. None for as many as the limit of descriptors allows, at
            most 2,048. Half of them may be without a token.
    """

    head_s: float = 30.0
    idle_s: float = 60.0
    body_s: float = 90.0
    stall_s: float = 60.0
    answer_s: float = 600.0
    linger_s: float = 2.0
    linger_bytes: int = 16 * 1024 * 1024
    connections: int | None = None

    def max_connections(self) -> int:
        """Return how many connections there may be at once."""
        if self.connections is not None:
            return self.connections
        limit = _descriptor_limit()
        if limit is None:
            return _MOST_CONNECTIONS
        fitting = (limit - _RESERVED_DESCRIPTORS) // _DESCRIPTORS_FOR_EACH
        return max(_FEWEST_CONNECTIONS, min(_MOST_CONNECTIONS, fitting))


def raise_descriptor_limit() -> None:
    """Raise this process's soft limit of descriptors to what all connections need, as far as the hard limit allows."""
    if os.name != "posix":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_CONNECTIONS * _DESCRIPTORS_FOR_EACH + _RESERVED_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return  # fewer connections are allowed then


def _descriptor_limit() -> int | None:
    """Return the soft limit of descriptors; None if there is none."""
    if os.name != "posix":
        return None
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft
