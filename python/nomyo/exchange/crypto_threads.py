"""The threads that seal and open for event loops: one queue, at most one thread for each core.

A thread opens small answers that wait together, so that it takes the GIL once for all of them; nobody waits for more to
come.

Rules:

- A thread starts if work comes that no idle one can take. If the system lets none start, the caller's thread does it.
- A forked child has a queue and threads of its own.
- The interpreter waits for the threads at its end, and they do what was queued before. The caller's thread does work
  that comes later.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final

from .._threads import is_no_thread
from .effects import Compute
from .jobs import Job, LoopOutcomes, do_all
from .loop_local import LoopLocal

_MOST_TOGETHER: Final = 4
"""More save little, and the first waits until the last is open."""
_MOST_KEPT_TOGETHER: Final = 8
"""To keep something of a group, a thread lets go of the GIL once more, and has to get it back from the event loop."""
_MOST_BYTES_TOGETHER: Final = 32 * 1024
"""Of their packages: the texts are in locked memory at the same time."""


class CryptoThreads:
    """A queue of work, and the threads that do it. `crypto_threads` returns those of the process.

    Args:
        most: How many threads there may be.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._threads: list[threading.Thread] = []
        self._starting = threading.Lock()
        self._waiting: SimpleQueue[Job | None] = SimpleQueue()
        self._idle: deque[None] = deque()
        """One for each thread that waits for work, as long as another may be started."""
        self._outcomes: LoopLocal[LoopOutcomes] = LoopLocal()
        self._is_over = False

    @property
    def waiting(self) -> int:
        """How much work waits for a thread."""
        return self._waiting.qsize()

    async def do(self, work: Compute) -> Any:
        """Have a thread do work for the running loop; return its outcome.

        If the task is cancelled before a thread takes the work, the work is left out. Raises what the work raises.
        """
        if self._has_ended() or not self._has_threads():
            return work.done()
        # No variable holds the future: its error refers to this frame, and a cycle would keep the payload alive.
        return await self._begun(work)

    def start_all(self) -> None:
        """Start all threads, which otherwise start when they are needed."""
        for _ in range(self._most):
            self._start()

    def end(self) -> None:
        """Have the threads end when they have done what waits."""
        self._is_over = True
        self._waiting.put(None)

    def _begun(self, work: Compute) -> asyncio.Future[Any]:
        job = Job(work, self._outcomes.get() or self._new_outcomes())
        self._waiting.put(job)
        if self._has_ended():  # since a moment ago: the threads may not have come to it
            self._do_what_waits()
        return job.future

    def _has_ended(self) -> bool:
        return self._is_over

    def _new_outcomes(self) -> LoopOutcomes:
        outcomes = LoopOutcomes(asyncio.get_running_loop())
        self._outcomes.put(outcomes)
        return outcomes

    def _has_threads(self) -> bool:
        """Start a thread if no idle one is left; return whether there is any."""
        if len(self._threads) < self._most:
            try:
                self._idle.pop()
            except IndexError:
                self._start()
        return bool(self._threads)

    def _start(self) -> None:
        with self._starting:
            if len(self._threads) == self._most:
                return
            thread = threading.Thread(target=self._run, name=f"nomyo-crypto_{len(self._threads)}", daemon=False)
            try:
                thread.start()
            except RuntimeError as error:
                if not (is_no_thread(error) or self._is_over):
                    raise
            else:
                self._threads.append(thread)

    def _run(self) -> None:
        while self._work():
            if len(self._threads) < self._most and self._waiting.empty():
                self._idle.append(None)

    def _work(self) -> bool:
        """Wait for work, and do it together with some that waits behind it; return whether more may come."""
        first = self._waiting.get()
        if first is None:
            self._waiting.put(None)  # for the next: a thread whose start was interrupted is not among `_threads`
            return False
        group = [first]
        other = self._other_than_joined(group)
        do_all(group)
        if other is not None:
            do_all([other])
        return True

    def _other_than_joined(self, group: list[Job]) -> Job | None:
        """Add answers that wait to a small one, until something else comes out of the queue; return that."""
        size_bytes = 0 if group[0].work.together is None else len(group[0].work.together.package)
        most = _MOST_TOGETHER if group[0].work.keep is None else _MOST_KEPT_TOGETHER
        most = min(most, 1 + self._waiting.qsize() // self._most)  # the other threads get their share
        while size_bytes and len(group) < most:
            job = self._next_waiting()
            if job is None or job.work.together is None:
                return job
            size_bytes += len(job.work.together.package)
            if size_bytes > _MOST_BYTES_TOGETHER:
                return job
            group.append(job)
        return None

    def _next_waiting(self) -> Job | None:
        try:
            job = self._waiting.get_nowait()
        except Empty:
            return None
        if job is None:
            self._waiting.put(None)  # which ends the thread that comes to it next
        return job

    def _do_what_waits(self) -> None:
        """Do all waiting work in the calling thread."""
        with suppress(Empty):
            while True:
                job = self._waiting.get_nowait()
                if job is not None:
                    do_all([job])
        self._waiting.put(None)


def _new_threads() -> CryptoThreads:
    return CryptoThreads(os.cpu_count() or 1)


_threads = _new_threads()


def crypto_threads() -> CryptoThreads:
    """Return the threads of this process, for all clients."""
    return _threads


def _begin_anew() -> None:
    global _threads
    _threads = _new_threads()


def _end() -> None:
    _threads.end()


# As `concurrent.futures` does: what `atexit` calls comes after the interpreter has waited for all threads.
threading._register_atexit(_end)  # type: ignore[attr-defined]  # noqa: SLF001
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
