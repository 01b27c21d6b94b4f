"""The debug log: sizes, times, statuses, fingerprints; never content, keys or tokens.

Clients log through the logger `nomyo`, which shows their steps if the program set it to DEBUG. Clients that were made
with `debug=True` log through `nomyo.debug` instead. This logger is at DEBUG, and gets a handler to stderr if the
program has none. So these clients show their steps, and other clients of the process do not.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from .._warn import log_named

logger = log_named("nomyo")
debug_logger = log_named("nomyo.debug")


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Writes to whatever `sys.stderr` is at that moment, as `logging.lastResort` does."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(asctime)s nomyo %(levelname)s %(message)s"))

    @property
    def stream(self):  # type: ignore[no-untyped-def]  # the base class declares an attribute
        return sys.stderr


def enable_debug_log() -> None:
    """Have every step of the clients that were made with `debug=True` logged to stderr. Idempotent."""
    debug_logger.setLevel(logging.DEBUG)
    known = debug_logger.handlers + logger.handlers + logging.getLogger().handlers
    if not any(isinstance(h, logging.StreamHandler) and h.stream is sys.stderr for h in known):
        debug_logger.addHandler(_StderrHandler())


def timed(log: logging.Logger, step: str) -> AbstractContextManager[None]:
    """Log how long a step took; costs next to nothing if the debug log is off."""
    return _logged(log, step) if log.isEnabledFor(logging.DEBUG) else _NOT_LOGGED


_NOT_LOGGED = nullcontext()


@contextmanager
def _logged(log: logging.Logger, step: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        log.debug("%s: %.1f ms", step, (time.perf_counter() - started) * 1e3)
