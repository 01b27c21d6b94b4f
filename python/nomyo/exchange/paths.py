"""Checks paths that a user gives, and makes them absolute before the working directory can change."""

from __future__ import annotations

import errno
import os
from os import PathLike
from typing import TypeAlias

KeyDir: TypeAlias = str | PathLike[str]


def check_path(name: str, path: object) -> str:
    """Return a path as text, if it can name a file or directory.

    Args:
        name: The option's name, for the errors.
        path: What the user gave for it.

    Raises:
        TypeError: `path` is neither a str nor an `os.PathLike` of one.
        ValueError: `path` is empty or has a null character.
    """
    text = os.fspath(path) if isinstance(path, PathLike) else path
    if not isinstance(text, str):
        raise TypeError(f"{name} must be a path as str or os.PathLike, not {type(text).__name__}")
    if not text or "\0" in text:
        raise ValueError(f"{name} must not be empty or have a null character")
    return text


def absolute_path(name: str, path: object, below: str | None = None) -> str:
    """Return a path that a later `os.chdir` does not change.

    `..` stays in it: without it, the path would name another place if the name before it is a symbolic link.

    Args:
        name: The option's name, for the errors.
        path: What the user gave for it.
        below: The directory to which a relative path is relative; the present working directory by default.

    Raises:
        TypeError, ValueError: As in `check_path`.
        FileNotFoundError: `path` is relative, and the working directory is gone.
    """
    text = check_path(name, path)
    if os.path.isabs(text):
        return text
    below = working_directory() if below is None else below
    if below is None:
        raise FileNotFoundError(errno.ENOENT, f"the working directory is gone: give {name} as an absolute path", text)
    return os.path.join(below, text)


def file_path(name: str, path: object) -> str:
    """Return the path of a file, as `absolute_path` does.

    Raises:
        TypeError, ValueError, FileNotFoundError: As in `absolute_path`; or there is a directory.
    """
    absolute = absolute_path(name, path)
    if not os.path.basename(absolute) or os.path.isdir(absolute):
        raise ValueError(f"{name} must be the path of a file, and {absolute} is that of a directory")
    return absolute


def working_directory() -> str | None:
    """Return the working directory; None if it was removed."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None
