"""Groups of options: a dataclass whose fields become options of each command that takes it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, get_type_hints


def takes_options(group: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator for commands: options take the place of the parameter whose type is this group.

    Args:
        group: A dataclass, whose fields are annotated as typer expects of options.
    """
    types = get_type_hints(group, include_extras=True)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        [place] = [each for each in signature.parameters.values() if each.annotation is group]
        options = [
            place.replace(name=each.name, default=each.default, annotation=types[each.name]) for each in fields(group)
        ]
        parameters: list[inspect.Parameter] = []
        for each in signature.parameters.values():
            parameters += options if each is place else [each.replace(kind=place.kind)]

        @wraps(command)
        def call(**given: Any) -> None:
            of_group = {each.name: given.pop(each.name) for each in options}
            command(**given, **{place.name: group(**of_group)})

        vars(call)["__signature__"] = signature.replace(parameters=parameters)
        call.__annotations__ = {each.name: each.annotation for each in parameters}
        return call

    return decorate
