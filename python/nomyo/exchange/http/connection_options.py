"""What the connections of both twins have in common."""

from __future__ import annotations

import re
import select
import socket
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ..._system_errors import without_system_errors

KEPT_ALIVE_S = 5.0
"""How long an unused connection is kept; httpx's default."""
NOT_SENT_BYTES = 128 * 1024
"""How much of a body the kernel may hold unsent (TCP_NOTSENT_LOWAT, tcp(7)). Otherwise up to 4 MB fit into its buffer:
a slow body would lie there and look sent, and the wait for its answer would begin too early."""


def limit_unsent(made: socket.socket) -> None:
    """Have the kernel hold little of what it has not sent, if it can: gVisor and old kernels refuse."""
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        with without_system_errors():
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, NOT_SENT_BYTES)


def has_something(descriptor: int) -> bool:
    """Return whether bytes, the end or an error wait in a socket."""
    if not hasattr(select, "poll"):  # Windows, whose `select` takes any descriptor
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


@cache
def user_agent() -> str:
    """Return what httpx would send as `User-Agent`, so that no header tells a client of ours from one of the caller's.

    httpx is not imported for it: that would take longer than all else before the first request.
    """
    if "httpx" in sys.modules:
        return f"python-httpx/{sys.modules['httpx'].__version__}"
    found = find_spec("httpx")
    code = Path(found.origin).with_name("__version__.py").read_text() if found and found.origin else ""
    version = re.search(r'^__version__ = "([\w.+-]+)"', code, re.MULTILINE)
    return f"python-httpx/{version[1]}" if version else "python-httpx"
