"""Makes a key directory that keeps itself out of git: private keys in a repository are secrets no longer.

The core would make it too. Here it is made first because `mkdir` alone tells, without a race between processes, whether
the directory is ours: into one that was there, nothing but keys is written.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final

from .._system_errors import without_system_errors

_FOR_THIS_USER: Final = 0o700


def make_key_directory(directory: str | os.PathLike[str]) -> None:
    """Make a directory for keys, and those above it, unless it is there; a new one gets a `.gitignore` of `*`.

    What cannot be made is left to the core, whose error says why.
    """
    path = os.fspath(directory).rstrip(os.sep)
    with without_system_errors():
        _make_above(path)
        os.mkdir(path, _FOR_THIS_USER)
        with open(os.path.join(path, ".gitignore"), "x", encoding="ascii") as file:
            file.write("*\n")


def _make_above(path: str) -> None:
    above = os.path.dirname(path)
    if not above or os.path.isdir(above):
        return
    _make_above(above)
    with suppress(FileExistsError):  # by another process, meanwhile
        os.mkdir(above, _FOR_THIS_USER)
