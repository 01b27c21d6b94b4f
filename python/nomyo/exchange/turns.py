"""Turns: so many requests at a time are sealed, sent and opened; the others wait with nothing but their payload.

Without them, ten thousand requests started at once would all be sealed at once, and their packages, each a third
larger than its payload, would wait in memory for one of a hundred connections.
"""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self


class Turn:
    """One request's turn, which ends with the `with` block."""

    __slots__ = ("_turns",)

    def __init__(self, turns: asyncio.Semaphore | threading.Semaphore) -> None:
        """Hold a turn that was taken."""
        self._turns = turns

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._turns.release()


class ThreadTurns:
    """Turns of threads, first come, first served as far as the system wakes them so."""

    def __init__(self, at_once: int) -> None:
        """Let so many requests go on at a time."""
        self._turns = threading.Semaphore(at_once)

    def take(self) -> Turn:
        """Wait for a turn; Ctrl-C ends the waiting."""
        self._turns.acquire()
        return Turn(self._turns)


class LoopTurns:
    """Turns of tasks, so many in each event loop, first come, first served."""

    def __init__(self, at_once: int) -> None:
        """Let so many requests of a loop go on at a time."""
        self._at_once = at_once
        self._lock = threading.Lock()
        self._of_loop: dict[asyncio.AbstractEventLoop, asyncio.Semaphore] = {}

    async def take(self) -> Turn:
        """Wait for a turn in the running loop."""
        turns = self._of_loop.get(asyncio.get_running_loop()) or self._begin()
        await turns.acquire()
        return Turn(turns)

    def _begin(self) -> asyncio.Semaphore:
        turns = asyncio.Semaphore(self._at_once)
        with self._lock:
            self._of_loop = {loop: known for loop, known in self._of_loop.items() if not loop.is_closed()}
            self._of_loop[asyncio.get_running_loop()] = turns
        return turns
