"""Checks paths that do not name a file: empty ones, `-`, and paths that lead to a stream of this process."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import typer

STREAM: Final = Path("-")
_STREAMS: Final = re.compile(r"/dev/(stdin|stdout|stderr|fd/\d+)|/proc/(self|\d+)/fd/\d+")
# What stands before a value in the same word.
_OPTION: Final = re.compile(r"^(--[^=]+=|-[A-Za-z])")
_SEPARATORS: Final = tuple(filter(None, (os.sep, os.altsep)))
_WRITTEN: Final = frozenset({"--output", "--journal", "--metrics-file", "--audit-log"})


def refuse_stream(option: str, path: Path, why: str) -> None:
    """Refuse a stream if a file is needed.

    Args:
        option: The option that the path belongs to.
        path: The path.
        why: Why it must be a file.

    Raises:
        typer.BadParameter: It is a stream.
    """
    if path != STREAM and not _STREAMS.fullmatch(os.path.abspath(path)):
        return
    words = f"{option} must be a file, and {path} is a stream: {why}"
    if path == STREAM:
        words += f"; a file that is called so is {os.path.abspath(path)}"
    raise typer.BadParameter(words)


def refuse_empty_paths(params: Iterable[Any], values: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Refuse an empty path, which Python takes for the current directory. It comes from an unset variable of a shell.

    Args:
        params: The command's parameters, in click's form.
        values: The parsed values of the arguments.
        arguments: The arguments as they were typed.

    Raises:
        typer.BadParameter: A path is empty.
    """
    current = [param for param in params if isinstance(values.get(param.name), Path) and values[param.name] == Path()]
    typed = [_OPTION.sub("", word) for word in arguments]
    if len(current) > sum(word != "" and Path(word) == Path() for word in typed):
        names = " or ".join(param.metavar if param.opts == [param.name] else param.opts[0] for param in current)
        raise typer.BadParameter(f"{names} is empty: it must name a file or a directory ('.' is the current one)")


def refuse_folder_names(params: Iterable[Any], values: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Refuse a folder's name for a file that is written: of `folder/`, a Path keeps `folder`, and a file would get it.

    Args:
        params: The command's parameters, in click's form.
        values: The parsed values of the arguments.
        arguments: The arguments as they were typed.

    Raises:
        typer.BadParameter: A file's path ends with a slash. Of a folder that is there, the command has its own words.
    """
    typed = {Path(word): word for each in arguments if (word := _OPTION.sub("", each)).endswith(_SEPARATORS)}
    for param in params:
        option = next(iter(_WRITTEN.intersection(param.opts)), None)
        if option is not None and values.get(param.name) in typed and not values[param.name].is_dir():
            found = typed[values[param.name]]
            raise typer.BadParameter(f"{option} must be a file, and {found} is the name of a folder: name a file in it")
