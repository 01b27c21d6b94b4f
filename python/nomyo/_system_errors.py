"""Tells the system's errors from those that the program's own signal handlers raise, whatever call they interrupt.

A handler that sets a limit raises a `TimeoutError`, say, which is an OSError too. Python gives each error of the system
its number (errno(3)); one that a program makes of words alone has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


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
