"""When the next request may leave: what a runner asks, and the answer of one process on its own.

A runner asks before every request, and tells of every failure that concerns all of them: 429, 503, and a router that
cannot be reached. What answers need have nothing else to do with the batch.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from nomyo.errors import NomyoError
from nomyo.exchange.retries import parse_retry_after

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0


class Admission(Protocol):
    """Who says when."""

    async def acquire(self) -> None:
        """Return when one more request may leave."""

    async def note(self, error: NomyoError) -> object:
        """Hear of a failure that is not that of its request. What is returned does not count."""


class OwnRate:
    """So many requests a second, evenly, and pauses that grow while the router refuses or is away.

    Args:
        rate_per_s: Requests a second; 0 for no limit.
    """

    def __init__(self, rate_per_s: float = 0.0) -> None:
        self._step_s = 1.0 / rate_per_s if rate_per_s > 0 else 0.0
        self._next = 0.0
        self._pause_s = 0.0
        self._pause_end = 0.0
        self._turn = asyncio.Lock()

    async def acquire(self) -> None:
        """Return when one more request may leave; first come, first served."""
        async with self._turn:
            # A pause may begin, or grow, while this one sleeps.
            while (wait_s := max(self._next, self._pause_end) - time.monotonic()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(wait_s)
            self._next = time.monotonic() + self._step_s

    async def note(self, error: NomyoError) -> None:
        """Pause: as long as the router asks for, or twice as long as the last time."""
        now = time.monotonic()
        if now >= self._pause_end:  # otherwise it is one more of the requests that were under way
            again = now - self._pause_end < LONGEST_PAUSE_S and self._pause_s > 0
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S) if again else FIRST_PAUSE_S
            self._pause_end = now + self._pause_s
        asked_s = parse_retry_after(getattr(error, "retry_after", None))
        self._pause_end = max(self._pause_end, now + (asked_s or 0.0))
