"""Keeps secrets out of the tracebacks of errors that leave the package, and the tracebacks short.

A traceback holds the frames that an error went through, and each frame its local variables: prompts, keys, passwords.
Debugging tools print them, and a program that keeps the error keeps them alive. So the public methods clear the frames
below them before they pass an error on to the caller.

The message of an error says what its reader needs: the frames of flows and drivers only stand between the caller's
line and the message. So the traceback ends at the public method. It stays whole if the debug log is on, and for errors
of a kind that the package does not raise on purpose: whoever reports such a bug needs to show where it is.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar, cast

from ..errors import NomyoError
from .trace import debug_logger, logger

_ON_PURPOSE: Final = (NomyoError, TypeError, ValueError, OSError, MemoryError, Warning)

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
    if _is_for_the_caller(error):
        trace.tb_next.tb_next = None


def _is_for_the_caller(error: BaseException) -> bool:
    """Return whether the message alone helps: also if the caller's loop or a signal ended the method."""
    if isinstance(error, Exception) and not isinstance(error, _ON_PURPOSE):
        return False
    return not any(log.isEnabledFor(logging.DEBUG) for log in (logger, debug_logger))
