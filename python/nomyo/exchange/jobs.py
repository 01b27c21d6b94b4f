"""Work that event loops hand to threads, and its outcomes on their way back.

Outcomes go back to a loop in one call of `call_soon_threadsafe`, which writes to a socket: those that come before the
loop has run it join it, and nobody waits for more to come. An outcome for a loop that was closed is dropped.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from .. import _core
from .effects import Compute, Together


class LoopOutcomes:
    """Outcomes on their way to one event loop.

    Args:
        loop: The loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._jobs: deque[Job] = deque()
        self._is_called = False
        """Whether the loop was asked to settle them, and has not begun."""

    def add(self, jobs: list[Job]) -> None:
        """Hand over jobs that are done; called in any thread."""
        self._jobs.extend(jobs)
        if not self._is_called:
            self._call()

    def _call(self) -> None:
        self._is_called = True
        try:
            self.loop.call_soon_threadsafe(self._settle)
        except RuntimeError:  # the loop was closed meanwhile
            self._jobs.clear()

    def _settle(self) -> None:
        self._is_called = False  # before the first is taken: what is added from here on calls again
        try:
            with suppress(IndexError):
                while True:
                    self._jobs.popleft().settle()
        finally:
            if self._jobs:  # Ctrl-C has ended the loop, which may be run again
                self._call()


class Job:
    """Work for one loop, and then its outcome.

    Args:
        work: What is to be done.
        outcomes: Those of the loop.
    """

    __slots__ = ("error", "future", "outcomes", "value", "work")

    def __init__(self, work: Compute, outcomes: LoopOutcomes) -> None:
        self.work = work
        self.outcomes = outcomes
        self.future: asyncio.Future[Any] = outcomes.loop.create_future()
        self.value: Any = None
        self.error: BaseException | None = None

    def settle(self) -> None:
        """Hand the outcome to whoever waits for the future, if somebody still does; called in the loop."""
        future, value, error = self.future, self.value, self.error
        # An error refers to the frames that called `do`, and they to this job: without this, the cycle would keep the
        # payload alive.
        del self.future, self.value, self.error, self.work
        if future.done():
            return
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)

    def do(self) -> None:
        """Do the work, all but `keep`."""
        try:
            self.value = self.work.finished(self.work.call())
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
            self.error = error

    def read(self, together: Together, opened: _core.OpenedText | Exception) -> None:
        """Do the rest of the work after `_core.open_together`, all but `keep`."""
        try:
            if isinstance(opened, Exception):
                self.error = opened
            else:
                self.value = self.work.finished(together.read(opened))
        except BaseException as error:  # noqa: BLE001 - whoever waits for the future gets it
            self.error = error


def do_all(jobs: list[Job]) -> None:
    """Do jobs that were taken from a queue, and hand their outcomes over. One whose caller was cancelled is not begun.

    Args:
        jobs: One job; or several, all of which may be opened together.
    """
    jobs = [job for job in jobs if not job.future.cancelled()]
    if len(jobs) > 1:
        _open_together(jobs)
    else:
        for job in jobs:
            job.do()
    for keep in {job.work.keep for job in jobs}:
        if keep is not None:
            _keep(keep, [job for job in jobs if job.error is None and job.work.keep == keep])
    for outcomes in {job.outcomes for job in jobs}:
        outcomes.add([job for job in jobs if job.outcomes is outcomes])


def _open_together(jobs: list[Job]) -> None:
    packages = [job.work.together for job in jobs if job.work.together is not None]
    try:
        opened = _core.open_together([(each.package, each.key) for each in packages])
    except Exception as error:  # noqa: BLE001 - whoever waits for the futures gets it
        opened = [error] * len(jobs)
    for job, together, text in zip(jobs, packages, opened, strict=True):
        job.read(together, text)


def _keep(keep: Callable[[list[Any]], list[Any]], jobs: list[Job]) -> None:
    try:
        for job, value in zip(jobs, keep([job.value for job in jobs]), strict=True):
            job.value = value
    except BaseException as error:  # noqa: BLE001 - whoever waits for the futures gets it
        for job in jobs:
            job.error = error
    finally:
        del jobs
