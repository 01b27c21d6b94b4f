"""Stops a run from outside: no more rows are sent, and those that were sent are waited for."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from nomyo.batch.sender import Sender


class Stop:
    """Tells a run to send no more rows, and to end when those that were sent are done."""

    def __init__(self) -> None:
        self._sender_in_loop: tuple[asyncio.AbstractEventLoop, Sender] | None = None
        self.requested = False

    def __call__(self) -> None:
        """Stop the run. May be called from any thread, and from a signal handler."""
        self.requested = True
        if self._sender_in_loop is not None:
            loop, sender = self._sender_in_loop
            with suppress(RuntimeError):  # the loop is closed, and so is the batch
                loop.call_soon_threadsafe(sender.stop)

    def attach(self, sender: Sender) -> None:
        """Have calls stop this sender, at once if there was one already. Must be called in the sender's event loop."""
        self._sender_in_loop = asyncio.get_running_loop(), sender
        if self.requested:
            sender.stop()
