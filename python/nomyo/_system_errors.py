"""Tells the system's errors from those that the program's own signal handlers raise, whatever call they interrupt.

A handler that sets a limit raises a `TimeoutError`, say, which is an OSError too. Python gives each error of the system
its number (errno(3)); one that a program makes of words alone has none.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType


def is_of_the_system(error: OSError) -> bool:
    """Return whether an error came from the system, and not from a signal handler."""
    return error.errno is not None


@contextmanager
def without_system_errors() -> Iterator[None]:
    """Drop an error of the system that leaves the block, and no other."""
    try:
        yield
    except OSError as error:
        if not is_of_the_system(error):
            raise


def error_of_a_handler(error: BaseException) -> BaseException | None:
    """Return the exception that a signal's handler raised, whatever a library made of it.

    Args:
        error: What left the library. Its causes and contexts are looked at, too.

    Returns:
        The first exception that passed through a function which handles a signal now; None if there is none.
    """
    handlers = set(_code_of_handlers())
    one: BaseException | None = error
    while one is not None:
        trace = one.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code in handlers:
                return one
            trace = trace.tb_next
        one = one.__cause__ or one.__context__
    return None


def _code_of_handlers() -> Iterator[CodeType]:
    for number in signal.valid_signals():
        handler = signal.getsignal(number)
        handler = getattr(handler, "func", handler)  # functools.partial
        if not hasattr(handler, "__code__"):
            handler = getattr(handler, "__call__", None)  # noqa: B004 - an object, whose method has the code
        code = getattr(handler, "__code__", None)
        if isinstance(code, CodeType):
            yield code
