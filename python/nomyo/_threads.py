"""Runs work in threads, and without one if the system gives none: at RLIMIT_NPROC (getrlimit(2)) or pids.max."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, TypeVar

from .errors import ConfigurationError

T = TypeVar("T")
MORE_THREADS: Final = "raise its limit (`ulimit -u`, a container's --pids-limit, TasksMax= in a systemd unit)"


def submit_or_run(pool: Callable[[], ThreadPoolExecutor], call: Callable[[], T]) -> Future[T]:
    """Call a function in a pool; or here and now, if the pool takes no more work or has no thread for it.

    That happens when the interpreter exits, and at the limit of threads (RLIMIT_NPROC in getrlimit(2), pids.max).
    """
    outcome: Future[T] = Future()
    once = _Once(call, outcome)
    try:
        pool().submit(once)
    except RuntimeError:
        once()  # a pool that failed to start a thread has queued it all the same, and its other threads may come to it
    return outcome


def is_no_thread(error: BaseException) -> bool:
    """Return whether an error is the one that Python raises if the system gives no thread."""
    return isinstance(error, RuntimeError) and "start new thread" in str(error)


def no_thread(what: str) -> ConfigurationError:
    """Return the error for work that cannot be done without another thread.

    Args:
        what: The work.
    """
    return ConfigurationError(f"{what} needs another thread, which this machine does not give: {MORE_THREADS}")


class _Once(Generic[T]):
    """A call that happens once, whichever of several threads gets to it first."""

    __slots__ = ("_left",)

    def __init__(self, call: Callable[[], T], outcome: Future[T]) -> None:
        self._left = [(call, outcome)]

    def __call__(self) -> None:
        try:
            # The frame of the pool's thread, to which an error's leads back, holds this object: it lets go of both.
            call, outcome = self._left.pop()
        except IndexError:
            return
        if not outcome.set_running_or_notify_cancel():
            return
        try:
            result = call()
        except BaseException as error:  # whoever waits for the future gets it
            outcome.set_exception(error)
            if not isinstance(error, Exception):
                raise  # Ctrl-C also concerns this thread, in which nobody may read the future any more
        else:
            outcome.set_result(result)
        finally:
            del call, outcome, self  # the error refers to this frame: a cycle would keep the payload alive
