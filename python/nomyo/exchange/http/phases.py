"""Bounds each phase of an exchange in an event loop, with one timer for all exchanges of the loop.

A timer for each phase would cost each request three of them, and nearly all are cancelled before they fire. So a phase
only notes when it must have ended. The one timer fires at the earliest such moment, ends the exchanges that are late,
and is set anew for the earliest moment of the others.
"""

from __future__ import annotations

import asyncio
import math
import weakref

from ..effects import NetworkFailure, Phase, Timeouts


class Deadlines:
    """The timer of one event loop."""

    def __init__(self) -> None:
        """Set no timer yet."""
        self.loop = asyncio.get_running_loop()
        self.watched: set[Phases] = set()
        self.fires_at = math.inf
        """When the timer fires, by the loop's clock; infinite if none is set."""
        self._timer: asyncio.TimerHandle | None = None

    def fire_at(self, moment: float) -> None:
        """Set the timer, instead of the one that is set."""
        self.stop()
        self.fires_at = moment
        self._timer = self.loop.call_at(moment, _fire, weakref.ref(self))

    def stop(self) -> None:
        """Cancel the timer. The next phase that begins sets it again."""
        self.fires_at = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end_all(self) -> None:
        """End all exchanges, because their connections were closed."""
        self.stop()
        for phases in list(self.watched):
            phases.end()

    def end_late(self) -> None:
        """End the exchanges whose phase is late, and set the timer for the others."""
        self.stop()
        now = self.loop.time()
        for phases in [each for each in self.watched if each.ends_at <= now]:
            phases.end()
        earliest = min((phases.ends_at for phases in self.watched), default=math.inf)
        if earliest < math.inf:
            self.fire_at(earliest)


def _fire(owner: weakref.ref[Deadlines]) -> None:
    """End what is late; a session that was dropped has nothing under way."""
    deadlines = owner()
    if deadlines is not None:
        deadlines.end_late()


class Phases:
    """The phases of one exchange, which must run inside of `bound`, and be in `watched` of its deadlines meanwhile.

    Args:
        timeouts: How long each phase may take.
        deadlines: Those of the running loop.
    """

    __slots__ = ("_deadlines", "_has_ended", "_now", "bound", "ends_at", "timeouts")

    def __init__(self, timeouts: Timeouts, deadlines: Deadlines) -> None:
        self.timeouts = timeouts
        self.bound = asyncio.Timeout(None)
        self.ends_at = math.inf
        """When the present phase is late, by the loop's clock; infinite if it never is."""
        self._has_ended = False
        self._now: Phase = "answer"
        self._deadlines = deadlines

    def named(self, failure: NetworkFailure) -> NetworkFailure:
        """Add to a failure the phase in which our own timeout ended it."""
        return failure._replace(phase=failure.phase and self._now)

    def begin_connecting(self) -> None:
        """Bound what comes before the request is out: aiohttp bounds the connecting, and nothing the wait after it."""
        connect_s, read_s = self.timeouts.connect_s, self.timeouts.read_s
        self._begin("answer", None if connect_s is None or read_s is None else connect_s + read_s)

    def begin_upload_piece(self) -> None:
        """Bound the sending of the next 64 KiB of a body."""
        self._begin("upload", self.timeouts.write_s)

    def begin_answer(self) -> None:
        """Bound the wait for the answer's headers, or for its body."""
        self._begin("answer", self.timeouts.read_s)

    def end(self) -> None:
        """End the exchange by a timeout. Idempotent."""
        self.ends_at = math.inf
        if not self._has_ended:
            self._has_ended = True
            self.bound.reschedule(self._deadlines.loop.time())

    def _begin(self, phase: Phase, allowed_s: float | None) -> None:
        if self._has_ended:
            return
        self._now = phase
        if allowed_s is None:
            self.ends_at = math.inf
            return
        deadlines = self._deadlines
        self.ends_at = ends_at = deadlines.loop.time() + allowed_s
        if ends_at < deadlines.fires_at:
            deadlines.fire_at(ends_at)
