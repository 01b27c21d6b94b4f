"""Keeps secrets out of the tracebacks of errors that leave the package.

A traceback holds the frames that an error went through, and each frame its local variables: prompts, keys, passwords.
Debugging tools print them, and a program that keeps the error keeps them alive. So the public methods clear the frames
below them before they pass an error on to the caller. File names and line numbers stay.
"""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")


def clears_traceback(method: Callable[P, T]) -> Callable[P, T]:
    """Clear local variables from the traceback of any exception that leaves this method, plain or async."""
    if inspect.iscoroutinefunction(method):
        return cast("Callable[P, T]", _clears_async(method))

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except BaseException as error:
            del args, kwargs  # this frame still runs, so that nobody else can clear it
            _clear_frames(error.__traceback__)
            raise

    return call


def _clears_async(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            _clear_frames(error.__traceback__)
            raise

    return call


def _clear_frames(trace: TracebackType | None) -> None:
    """Clear the frames below the first, which is the caller's and still runs."""
    if trace is not None:
        traceback.clear_frames(trace.tb_next)
