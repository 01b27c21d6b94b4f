"""What the connections of both twins have in common."""

from __future__ import annotations

import socket

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
