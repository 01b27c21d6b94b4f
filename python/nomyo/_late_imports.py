"""Imports libraries when they are first needed: every process that starts would pay for them otherwise.

An import within a request has two dangers that one at the start of a program does not have:

- A process may fork while another thread imports. The lock of a module that is being imported stays locked in the
  child, which waits for it for ever. So a fork waits for our imports.
- The import may fail: for want of memory, or because the installation is broken. That is a `ConfigurationError`.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ._system_errors import is_of_the_system
from .errors import ConfigurationError

MORE_MEMORY: Final = "raise the limits RLIMIT_AS (`ulimit -v`) and RLIMIT_DATA (`ulimit -d`)"
"""What helps if there is too little memory to import something."""
_LONGEST_FORK_WAIT_S: Final = 60.0
"""An import takes less than a second. A fork that waits for longer waits for a thread that waits for it."""


class _Turns:
    """A lock that a thread holds while it imports or forks. A signal's handler may fork while its thread imports."""

    def __init__(self) -> None:
        self.lock = threading.RLock()

    def before_fork(self) -> None:
        self.lock.acquire(timeout=_LONGEST_FORK_WAIT_S)

    def after_fork_in_parent(self) -> None:
        with suppress(RuntimeError):  # the wait was too long: the lock is not this thread's
            self.lock.release()

    def after_fork_in_child(self) -> None:
        self.lock = threading.RLock()


_TURNS: Final = _Turns()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_TURNS.before_fork,
        after_in_parent=_TURNS.after_fork_in_parent,
        after_in_child=_TURNS.after_fork_in_child,
    )


def late_import(what: str, load: Callable[[], object]) -> None:
    """Make it safe to import something, in any thread and at any time.

    Args:
        what: The library, as an error names it.
        load: Imports it.

    Raises:
        ConfigurationError: It cannot be imported. A later import may succeed.
    """
    try:
        with _TURNS.lock:
            load()
        return
    except (ImportError, MemoryError, OSError) as error:
        if isinstance(error, OSError) and not is_of_the_system(error):
            raise
        words = _words(what, error)
    raise ConfigurationError(words)  # out here it has no context, whose frames would hold the settings of a client


def _words(what: str, error: ImportError | MemoryError | OSError) -> str:
    if isinstance(error, MemoryError) or "failed to map segment" in str(error):  # dl_open(3) without memory
        return f"there is not enough memory to import {what}: {MORE_MEMORY}"
    return f"{what} cannot be imported: {error}; install nomyo and what it needs again (pip install --force-reinstall)"
