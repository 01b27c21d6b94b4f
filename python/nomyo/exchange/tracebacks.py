"""Keeps secrets out of the tracebacks of errors that leave the package, and the tracebacks short.

A traceback holds the frames that an error went through, and each frame its local variables: prompts, keys, passwords.
Debugging tools print them, and a program that keeps the error keeps them alive. So the public methods clear the frames
below them before they pass an error on to the caller.

The message of an error says what its reader needs: the frames of flows and drivers only stand between the caller's
line and the message. So the traceback ends at the public method. It stays whole if the debug log is on, and for errors
that the package did not raise on purpose, because whoever mends such a bug needs to see where it is: in the package, or
in code of the caller that the package called (a transport, an event hook, a mapping).
"""

from __future__ import annotations

import inspect
import logging
import opcode
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from types import TracebackType
from typing import Any, Final, ParamSpec, TypeVar, cast

from ..errors import NomyoError
from .trace import debug_logger, logger

_ON_PURPOSE: Final = (NomyoError, OSError, MemoryError, Warning)
_ALSO_BUGS: Final = (TypeError, ValueError)
"""Of these, the package raises its own by `raise`, or has the core raise them; Python's come from any other line."""
_PACKAGE: Final = __name__.partition(".")[0]
_CORE: Final = "_core"
_RAISE: Final = opcode.opmap["RAISE_VARARGS"]

P = ParamSpec("P")
T = TypeVar("T")


def clears_traceback(method: Callable[P, T]) -> Callable[P, T]:
    """Clear local variables from the traceback of any exception that leaves this method, plain or async; shorten it."""
    if inspect.iscoroutinefunction(method):
        return cast("Callable[P, T]", _clears_async(method))

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except BaseException as error:
            del args, kwargs  # this frame still runs, so that nobody else can clear it
            _clear_frames(error)
            raise

    return call


def _clears_async(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            _clear_frames(error)
            raise

    return call


def _clear_frames(error: BaseException) -> None:
    """Clear all frames but the first, which still runs; if the message is enough, cut off those below the method."""
    trace = error.__traceback__
    if trace is None or trace.tb_next is None:
        return
    traceback.clear_frames(trace.tb_next)
    if not _debug_log_is_on() and _is_for_the_caller(error):
        trace.tb_next.tb_next = None


def _debug_log_is_on() -> bool:
    return any(log.isEnabledFor(logging.DEBUG) for log in (logger, debug_logger))


def _is_for_the_caller(error: BaseException) -> bool:
    """Return whether the message alone helps: also if the caller's loop or a signal ended the method."""
    if not isinstance(error, Exception):
        return True
    trace = [entry for entry in _entries(error.__traceback__) if _root_of(entry) not in sys.stdlib_module_names]
    if not trace or _root_of(trace[-1]) != _PACKAGE:
        return False
    if isinstance(error, _ON_PURPOSE):
        return True
    return isinstance(error, _ALSO_BUGS) and trace[-1].tb_next is None and _is_check(trace[-1])


def _entries(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _root_of(entry: TracebackType) -> str:
    """Return the top-level package whose code runs in a frame."""
    name: str = entry.tb_frame.f_globals.get("__name__", "")
    return name.partition(".")[0]


def _is_check(entry: TracebackType) -> bool:
    """Return whether a frame of the package has a `raise` at this place, or calls the core, which checks as well."""
    code = entry.tb_frame.f_code
    return code.co_code[entry.tb_lasti] == _RAISE or _CORE in code.co_names
