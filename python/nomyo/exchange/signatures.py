"""Signatures for what takes a client's options as `**options`.

Type checkers read the TypedDict. Everything else (`help()`, notebooks) reads the signature that a function has at run
time: here it gets one in which each option stands with its default.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Any, ParamSpec, TypeVar

from .._near_names import suggestion
from .settings import ClientOptions, Settings

P = ParamSpec("P")
T = TypeVar("T")


def shows_options(
    options: type = ClientOptions, /, without: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator that writes out a function's `**options` in its signature; it changes nothing else.

    Args:
        options: The TypedDict that the function's `**options` are of. Its other keys stay `**options`.
        without: Options that the function refuses.
        defaults: Where the function has other defaults than `Settings`.
    """
    defaults = {each.name: each.default for each in fields(Settings)} | defaults

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        signature = inspect.signature(function)
        *named, rest = signature.parameters.values()
        assert rest.kind is rest.VAR_KEYWORD
        written_out = [
            rest.replace(name=name, kind=rest.KEYWORD_ONLY, default=defaults[name], annotation=kind.__forward_arg__)
            for name, kind in options.__annotations__.items()
            if name in defaults and name not in without
        ]
        others = [rest] if options.__annotations__.keys() - defaults else []
        vars(function)["__signature__"] = signature.replace(parameters=[*named, *written_out, *others])
        return function

    return decorate


def refuse_unknown(made: type, options: ClientOptions) -> None:
    """Refuse an option that there is not, in the words in which Python refuses an argument.

    Args:
        made: The class whose constructor was given them.
        options: What it took as `**options`.

    Raises:
        TypeError: There is one.
    """
    for name in options:
        if name not in ClientOptions.__annotations__:
            words = f"{made.__name__}.__init__() got an unexpected keyword argument {name!r}"
            raise TypeError(words + suggestion(name, inspect.signature(made).parameters))
