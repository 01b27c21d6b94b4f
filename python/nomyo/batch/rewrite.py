"""A file made, or replaced by another, in one step, whose content nothing but the file itself ever holds.

The new file has no name while it is written (Linux's O_TMPFILE, open(2)), and takes the old one's when it is whole and
on the disk. A crash leaves the old file and nothing else; one in the instant between the two system calls that name it
leaves a whole second file, which `remove_leftover` removes. Where the file system has no nameless files (NFS), it has
this second name all along.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path


def staged(path: Path) -> Path:
    """Return the second name that a new file has until it takes a file's own; nobody else's file is called so."""
    return path.with_name(f".{path.name}.nomyo-new")


def replace(path: Path, rows: Iterable[bytes]) -> None:
    """Replace the content of a file, which keeps its mode.

    Args:
        path: The file; no link.
        rows: The new content; may be read from the old file.

    Raises:
        OSError: The disk is full, or fails; the file is as it was.
    """
    new = staged(path)
    descriptor, nameless = _open_new(new)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, stat.S_IMODE(path.stat().st_mode))
            file.writelines(rows)
            file.flush()
            os.fsync(descriptor)
            if nameless:
                _name(descriptor, new)
                nameless = False
        os.replace(new, path)
    except BaseException:
        if not nameless:  # it is ours
            new.unlink(missing_ok=True)
        raise
    sync_directory(path)


@contextlib.contextmanager
def created(path: Path) -> Iterator[int]:
    """Make a file that is there when the block ends well, and not at all otherwise; for its owner alone.

    Yields:
        A descriptor to write to.

    Raises:
        FileExistsError: There is something by that name, which stays.
        OSError: The disk is full, or fails.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "there is something by that name, which is never overwritten", str(path))
    check_directory(path)
    remove_leftover(path)
    new = staged(path)
    descriptor, nameless = _open_new(new)
    try:
        yield descriptor
        os.fsync(descriptor)
        if nameless:
            _name(descriptor, path)
        else:
            os.link(new, path)
    finally:
        os.close(descriptor)
        if not nameless:
            new.unlink()
    sync_directory(path)


def remove_leftover(path: Path) -> None:
    """Remove what a crash left of a replacement."""
    staged(path).unlink(missing_ok=True)


def check_directory(path: Path) -> None:
    """Refuse a file for which there is no directory, by the name that was given.

    Raises:
        FileNotFoundError: It is not there.
    """
    if not path.parent.is_dir():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path.parent))


def sync_directory(path: Path) -> None:
    """Have the entry of a file in its directory outlast a power loss (fsync(2), "does not necessarily ensure")."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _name(descriptor: int, new: Path) -> None:
    """Give a nameless file its name, as open(2) shows it.

    `os.link` follows the link of /proc only where it calls linkat(2), for which it wants a directory.
    """
    directory = os.open(new.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.link(f"/proc/self/fd/{descriptor}", new.name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        os.close(directory)


def _open_new(new: Path) -> tuple[int, bool]:
    """Return a descriptor, and whether its file has no name yet."""
    if hasattr(os, "O_TMPFILE") and os.path.exists("/proc/self/fd"):
        with contextlib.suppress(OSError):  # EOPNOTSUPP, or EISDIR of an old kernel
            return os.open(new.parent, os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600), True
    return os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), False
