"""Log lines and warnings of the library. If one fails, the work goes on.

A handler, a filter or `warnings.showwarning` of the program may raise, and so does Python's own handler if stderr was
closed (`logging.Handler.handleError` only suppresses OSErrors). If the filter "error" turns a warning into an error,
that error is raised, because the program asked for it.
"""

from __future__ import annotations

import inspect
import logging
import os
import warnings
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import Final

_PACKAGE: Final = os.path.dirname(__file__) + os.sep
_told: set[str] = set()
"""What this process was warned of by `warn_once`."""


def log_named(name: str) -> logging.Logger:
    """Return a logger whose handlers and filters cannot make the calling code fail. Idempotent."""
    logger = logging.getLogger(name)
    if "handle" not in vars(logger):
        # This runs after `isEnabledFor`, so a disabled logger costs nothing; and before all handlers, parents'
        # included.
        logger.handle = partial(_handle, logger)  # type: ignore[method-assign]
    return logger


def warn(message: str, *, stacklevel: int = 1) -> None:
    """Warn of something.

    Args:
        message: The text of the warning.
        stacklevel: As in `warnings.warn`.

    Raises:
        Warning: A filter of the program turns the warning into an error.
    """
    try:
        warnings.warn(message, stacklevel=stacklevel + 1)
    except Warning:
        raise
    except Exception:  # noqa: BLE001, S110 - it could not be shown, and there is nobody to tell
        pass


def warn_once(message: str) -> None:
    """Warn of something once in this process; the warning names the line outside of the package that led to it.

    Raises:
        Warning: As in `warn`.
    """
    if message in _told:
        return
    warn(message, stacklevel=_levels_below_the_caller(inspect.currentframe()))
    _told.add(message)  # not before: as an error, the warning is raised each time


def _levels_below_the_caller(frame: FrameType | None) -> int:
    """Return the `stacklevel` of the next frame outside of the package, seen from the frame given."""
    levels = 1
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, levels = frame.f_back, levels + 1
    return levels - 1 if frame is None else levels


def _handle(logger: logging.Logger, record: logging.LogRecord) -> None:
    with suppress(Exception):
        type(logger).handle(logger, record)
