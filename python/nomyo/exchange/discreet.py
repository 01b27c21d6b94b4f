"""Keeps secrets out of the tracebacks of errors that leave the package.

A traceback holds the frames it went through, and a frame its local variables: prompts, keys,
passwords. Debugging tools print them, and an error that is kept keeps them alive. So the public
methods empty the frames below them before an error goes on to the caller; file names and line
numbers stay.
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


def discreet(method: Callable[P, T]) -> Callable[P, T]:
    """Have errors of a plain or async method leave it without the local variables that they passed."""
    if inspect.iscoroutinefunction(method):
        return cast("Callable[P, T]", _discreet_async(method))

    @wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            _empty_frames(error.__traceback__)
            raise

    return call


def _discreet_async(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]:
    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return await method(*args, **kwargs)
        except BaseException as error:
            del args, kwargs
            _empty_frames(error.__traceback__)
            raise

    return call


def _empty_frames(trace: TracebackType | None) -> None:
    """Empty the frames below the first, which is the one that calls this."""
    if trace is not None:
        traceback.clear_frames(trace.tb_next)
