"""Gives a public class the methods of its private base under its own name, which Python shows if a call is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

from .tracebacks import clears_traceback

T = TypeVar("T", bound=type)


def shows_own_name(made: T) -> T:
    """Copy the functions of private bases into the class, named as its own: `Client.dispose() takes ...`.

    Python takes the name in such an error from the function, and a base that two classes share has one function.
    """
    for base in made.__mro__[1:]:
        if not base.__name__.startswith("_"):
            break  # what stands above a public class may be overridden in it
        for name, value in vars(base).items():
            if name not in vars(made) and _is_public(name):
                _take(made, name, value)
    return made


def named(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Return a copy of a function under another name; `clears_traceback` is taken off, and put on the copy.

    Args:
        function: A function in Python.
        name: Its name in errors: "run", "Client.dispose".
    """
    within = getattr(function, "__wrapped__", None)
    if within is not None:
        return clears_traceback(named(within, name))
    own = cast(FunctionType, function)
    copied = FunctionType(own.__code__, own.__globals__, own.__name__, own.__defaults__, own.__closure__)
    copied.__kwdefaults__ = own.__kwdefaults__
    for of_function in ("__doc__", "__annotations__", "__module__"):
        setattr(copied, of_function, getattr(own, of_function))
    vars(copied).update(vars(own))
    copied.__qualname__ = name
    return copied


def _take(made: type, name: str, value: object) -> None:
    own_name = f"{made.__qualname__}.{name}"
    if inspect.isfunction(value):
        setattr(made, name, named(value, own_name))
    elif isinstance(value, classmethod):
        setattr(made, name, classmethod(named(value.__func__, own_name)))


def _is_public(name: str) -> bool:
    return name == "__init__" or not name.startswith("_")
