"""When a request may leave: what a runner asks before each, and what it waits for while its router is away.

The rate and the pauses that the service asks for are the governor's, which shares them with other processes. That a
router cannot be reached is a matter of this batch's own network, and holds nobody else up.
"""

from __future__ import annotations

from typing import Protocol

from nomyo.batch.governor.clock import Clock, SystemClock
from nomyo.batch.governor.limits import SECOND_NS
from nomyo.batch.governor.pauses import Pause
from nomyo.errors import NomyoError


class Admission(Protocol):
    """Who says when; a `Governor`, say."""

    async def acquire(self) -> None:
        """Return when one more request may leave."""

    async def note(self, error: NomyoError) -> float:
        """Hear of a failure that is not that of its request; return for how many seconds nothing is sent."""


class Outage:
    """Pauses of a batch while its router cannot be reached: 1 s, 2 s, 4 s, up to a minute."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._pause = Pause()

    async def over(self) -> None:
        """Return when it is time to try."""
        while (left_ns := self._pause.until_ns - self._clock.now_ns()) > 0:
            await self._clock.sleep(left_ns)

    def note(self) -> float:
        """Pause, and return for how many seconds; of all that were under way, the first alone makes it longer."""
        now_ns = self._clock.now_ns()
        self._pause.back_off(now_ns)
        return (self._pause.until_ns - now_ns) / SECOND_NS
