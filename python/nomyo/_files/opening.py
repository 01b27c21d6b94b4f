"""Opens files carefully, with the flags that a platform has.

No program that is started inherits such a file. A file that is opened to be read may be a pipe that somebody put there:
opening it does not wait for the pipe's other end (O_NONBLOCK, open(2)). A new file is readable by its owner alone.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

OWNER_ONLY: Final = 0o600
"""The mode of files that hold content, digests or times."""
NO_LINK: Final = getattr(os, "O_NOFOLLOW", 0)
"""Refuses a path that is a symbolic link."""
# No child inherits the file (Windows needs no flag for that), and Windows does not write line ends as two bytes.
_PLAINLY: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_AT_ONCE: Final = getattr(os, "O_NONBLOCK", 0)
CAREFULLY: Final = NO_LINK | _PLAINLY | _AT_ONCE


def open_to_read(path: str | os.PathLike[str]) -> int:
    """Open a file to read from it; the caller checks that it is one.

    Raises:
        OSError: It cannot be opened.
    """
    return os.open(path, os.O_RDONLY | _PLAINLY | _AT_ONCE)


def open_to_lock(path: Path) -> int:
    """Open a file that is locked, read and written, and create it if it does not exist; a link is refused.

    Raises:
        OSError: It cannot be opened.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | NO_LINK | _PLAINLY, OWNER_ONLY)


def open_private_to_read(path: Path) -> int:
    """Open a file to read from it; a link is refused, and the caller checks whose file it is.

    Raises:
        OSError: It cannot be opened.
    """
    return os.open(path, os.O_RDONLY | CAREFULLY)


def open_private_to_lock(path: Path) -> int:
    """Do what `open_to_lock` does, without waiting for the other end of a pipe.

    Raises:
        OSError: It cannot be opened.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | CAREFULLY, OWNER_ONLY)


def open_to_append(path: Path, more_flags: int = 0) -> int:
    """Open a file to append to it, and create it if it does not exist.

    Args:
        path: The file.
        more_flags: `NO_LINK`, or 0.

    Raises:
        OSError: It cannot be opened.
    """
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _PLAINLY | more_flags, OWNER_ONLY)


def create(path: Path) -> int:
    """Create a file, to write and to read it.

    Raises:
        FileExistsError: There is something with this name.
        OSError: It cannot be created.
    """
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | _PLAINLY, OWNER_ONLY)


def create_nameless(directory: Path) -> int | None:
    """Create a file without a name, to write and to read it; None if the system or the file system has none such."""
    if not hasattr(os, "O_TMPFILE") or not os.path.exists("/proc/self/fd"):
        return None
    try:
        return os.open(directory, os.O_TMPFILE | os.O_RDWR | _PLAINLY, OWNER_ONLY)
    except OSError:  # EOPNOTSUPP, or EISDIR of an old kernel
        return None


def at_once(path: str, flags: int) -> int:
    """Open a file for `open(..., opener=at_once)`, without waiting for the other end of a pipe."""
    return os.open(path, flags | _AT_ONCE)


def at_once_without_links(path: str, flags: int) -> int:
    """Do what `at_once` does, and refuse a link."""
    return os.open(path, flags | _AT_ONCE | NO_LINK)
