"""Values of options that need no library to be read.

From 0.29 on, typer makes an adapter of pydantic for each parameter of a command, also for those that nobody gave. To
import pydantic and to make some twenty adapters takes longer than to import all else that `nomyo chat` needs. So values
that can be read in one way only are read here, and all others by typer: what it refuses, it refuses in its own words.
"""

from __future__ import annotations

import os
import re
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, Final

_INTEGER: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_DECIMAL: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?", re.ASCII)
_OTHER: Final = object()


def read_plain_values(parameters: list[Any]) -> list[Any]:
    """Have parameters of a command read plain values by themselves, and all others by typer; return the parameters.

    Older versions of typer have no `type_descriptor`, and read without pydantic.
    """
    for each in parameters:
        described = getattr(each, "type_descriptor", None)
        if described is not None and described.parameter_info.parser is None:
            each.process_value = partial(_processed, each, type(each).process_value)
    return parameters


def _processed(parameter: Any, by_typer: Any, ctx: Any, value: Any) -> Any:
    if value is not None:
        read = _read(parameter.type_descriptor.annotation, parameter.type_descriptor.parameter_info, value)
    elif parameter.required:
        read = _OTHER
    else:
        read = () if parameter.multiple or parameter.nargs == -1 else None
    if read is _OTHER:
        return by_typer(parameter, ctx, value)
    return read if parameter.callback is None else parameter.callback(ctx, parameter, read)


def _read(kind: Any, info: Any, value: Any) -> Any:
    """Return the value as one of `kind`; _OTHER if it is not plain."""
    if kind == list[str]:
        is_plain = isinstance(value, (list, tuple)) and bool(value) and all(map(_is_text, value))
        return list(value) if is_plain else _OTHER
    if not isinstance(kind, type):
        return _OTHER
    if kind is Path:
        return _path(info, value)
    if issubclass(kind, Enum):
        return _member(kind, value)
    if not isinstance(value, str):
        return value if type(value) is kind else _OTHER  # a default
    if kind in (int, float):
        return _number(kind, info, value)
    return value if kind is str and _is_text(value) else _OTHER


def _is_text(value: object) -> bool:
    """Return whether a value is text without surrogates, which stand for bytes that are no UTF-8."""
    return isinstance(value, str) and (value.isascii() or not re.search("[\ud800-\udfff]", value))


def _member(kind: type[Enum], value: object) -> Any:
    if isinstance(value, kind):
        return value
    return next((member for member in kind if member.value == value), _OTHER)


def _number(kind: Any, info: Any, value: str) -> Any:
    if not (_INTEGER if kind is int else _DECIMAL).fullmatch(value):
        return _OTHER
    number = kind(value)
    is_within = (info.min is None or number >= info.min) and (info.max is None or number <= info.max)
    return number if is_within else _OTHER


def _path(info: Any, value: Any) -> Any:
    """Return a path, unless typer would look at more than whether it can be read."""
    if not isinstance(value, Path) and not _is_text(value):
        return _OTHER
    looks = info.exists or info.writable or info.resolve_path or info.allow_dash or info.path_type is not None
    if looks or not (info.file_okay and info.dir_okay):
        return _OTHER
    path = Path(value)
    return path if os.access(path, os.R_OK) or not os.path.exists(path) else _OTHER
