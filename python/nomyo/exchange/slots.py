"""Concurrency slots: at most N requests are sealed, sent and opened at once; the rest wait, holding only their payload.

Without slots, ten thousand requests that start at once would all be sealed at once. Their packages, each a third larger
than its payload, would then wait in memory for one of a hundred connections.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Final, Protocol, Self

from .loop_local import LoopLocal

_POLL_S: Final = 0.5
"""How often a waiting thread looks by itself whether a slot is free: a slot that was garbage collected wakes nobody."""


class Slot(Protocol):
    """One request's slot; the end of the `with` block frees it."""

    def __enter__(self) -> Self:
        """Return the slot."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the slot for the next request."""


class ThreadSlots:
    """Slots for threads, first come, first served.

    A slot is a place in a queue, and is held for as long as its object lives. An exception between two instructions
    (Ctrl-C, an alarm, a task queue's limit) drops the object, and so frees the slot. A count or a lock would stay
    taken.
    """

    def __init__(self, limit: int) -> None:
        """Make so many slots."""
        self._limit = limit
        self._numbers = itertools.count()
        self._queue: dict[int, weakref.ref[_ThreadSlot]] = {}

    def take(self) -> Slot:
        """Wait for a slot; Ctrl-C ends the wait."""
        slot = _ThreadSlot(self, next(self._numbers))
        # A dict keeps the order of its insertions. The insertion is a single step of the interpreter: it needs no lock.
        self._queue[slot.number] = weakref.ref(slot)
        try:
            while slot not in self._holders():
                slot.wait()
        except BaseException:
            self.free(slot)  # the caller may keep the traceback, and with it the slot
            raise
        return slot

    def free(self, slot: _ThreadSlot) -> None:
        """Take a slot out of the queue, and wake the thread that comes next."""
        self._queue.pop(slot.number, None)
        for holder in self._holders():
            holder.wake()

    def _holders(self) -> list[_ThreadSlot]:
        """Return the first N slots in the queue; those that nobody holds any more leave it."""
        alive = []
        for number, reference in self._queue.copy().items():
            slot = reference()
            if slot is None:
                self._queue.pop(number, None)
                continue
            alive.append(slot)
            if len(alive) == self._limit:
                break
        return alive


class _ThreadSlot:
    """A place in the queue of `ThreadSlots`."""

    __slots__ = ("__weakref__", "_slots", "_wakeups", "number")

    def __init__(self, slots: ThreadSlots, number: int) -> None:
        self._slots = slots
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self.number = number

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.free(self)

    def wait(self) -> None:
        """Return after `wake`, or after a while."""
        try:
            self._wakeups.get(timeout=_POLL_S)
        except Empty:
            return

    def wake(self) -> None:
        """End the thread's present wait, or its next one."""
        if self._wakeups.empty():
            self._wakeups.put(None)


class LoopSlots:
    """Slots for tasks, N in each event loop, first come, first served."""

    def __init__(self, limit: int) -> None:
        """Make so many slots for each event loop."""
        self._limit = limit
        self._semaphores: LoopLocal[asyncio.Semaphore] = LoopLocal()

    async def take(self) -> Slot:
        """Wait for a slot of the running loop."""
        semaphore = self._semaphores.get() or self._new_semaphore()
        await semaphore.acquire()
        return _LoopSlot(semaphore)

    def _new_semaphore(self) -> asyncio.Semaphore:
        semaphore = asyncio.Semaphore(self._limit)
        self._semaphores.put(semaphore)
        return semaphore


class _LoopSlot:
    """A slot of a loop's semaphore."""

    __slots__ = ("_semaphore",)

    def __init__(self, semaphore: asyncio.Semaphore) -> None:
        self._semaphore = semaphore

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._semaphore.release()
