"""Tells a fault inside the package from a mistake in a call. In Python, both are a ValueError or a TypeError."""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from nomyo._warn import log_named
from nomyo.errors import BatchError, NomyoError

_PACKAGE: Final = Path(__file__).parent.parent
_LOG: Final = log_named("nomyo.batch")


@contextmanager
def no_caller_fault() -> Iterator[None]:
    """Run work after all options were checked: a ValueError or TypeError in it is then not the caller's mistake.

    The message of the fault is not shown, because it may hold content. The error names its file and line; the log
    `nomyo.batch` gets all frames at level debug.

    Raises:
        BatchError: The work raised a ValueError or TypeError.
    """
    fault = None
    try:
        yield
    except (ValueError, TypeError) as error:
        if isinstance(error, (NomyoError, OSError)):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        _LOG.debug("%s at %s", type(error).__name__, ", ".join(map(_name_of, frames)))
        fault = f"{type(error).__name__} in {_place_of(frames)}"
    if fault is not None:
        raise_alone(
            BatchError(f"a fault within nomyo, not a mistake in the call: {fault}; what is in the output counts")
        )


def raise_alone(error: Exception) -> NoReturn:
    """Raise an error without the one that is being handled as its context, which may hold content.

    If the block of a context manager failed, Python sets the context again when the manager's `except` ends.
    """
    try:
        raise error
    except type(error):
        error.__context__ = None
        raise


def _place_of(frames: Iterable[traceback.FrameSummary]) -> str:
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(_PACKAGE)]
    return f"{Path(ours[-1].filename).name}, line {ours[-1].lineno}"


def _name_of(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}:{frame.lineno}"
