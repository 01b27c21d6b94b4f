"""The debug log: sizes, times, statuses, fingerprints; never content, keys or tokens.

Everything goes through the logger `nomyo`. `debug=True` sets it to DEBUG and gives it a handler
to stderr where the program has none.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

logger = logging.getLogger("nomyo")


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Writes to whatever `sys.stderr` is at that moment, as `logging.lastResort` does."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(asctime)s nomyo %(levelname)s %(message)s"))

    @property
    def stream(self):  # type: ignore[no-untyped-def]  # the base class declares an attribute
        return sys.stderr


def enable_debug_log() -> None:
    """Have every step of every client logged to stderr. Idempotent."""
    logger.setLevel(logging.DEBUG)
    known = logger.handlers + logging.getLogger().handlers
    if not any(isinstance(h, logging.StreamHandler) and h.stream is sys.stderr for h in known):
        logger.addHandler(_StderrHandler())


def timed(step: str) -> AbstractContextManager[None]:
    """Log how long a step took; costs next to nothing where nobody asked for the debug log."""
    return _logged(step) if logger.isEnabledFor(logging.DEBUG) else _NOT_LOGGED


_NOT_LOGGED = nullcontext()


@contextmanager
def _logged(step: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        logger.debug("%s: %.1f ms", step, (time.perf_counter() - started) * 1e3)
