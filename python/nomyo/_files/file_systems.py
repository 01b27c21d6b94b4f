"""One rule for differences between file systems (key files follow the same rule in `rust/core/src/os`).

- If something cannot be synced (a directory on some network and FUSE file systems), it is not synced: fsync(2) says
  EINVAL there, or ENOTSUP. A disk that fails is an error.
- If there are no locks (flock(2): NFS without its lock service, some FUSE file systems), work that a lock only guards
  goes on, and one warning names the file. A file that exists to be shared is refused.
- If there are no hard links, a file gets its name by rename(2).
- An error of the system names its file, even if only a descriptor was at hand.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from .._warn import warn
from .file_locks import lock_at_once

_NOT_THERE: Final = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL})
_NO_DIRECTORY_SYNC: Final = _NOT_THERE | {errno.EBADF}  # some file systems want a descriptor that is open to write
_NO_LOCK: Final = _NOT_THERE | {errno.ENOLCK}
_NO_LINK: Final = _NOT_THERE | {errno.EPERM, errno.EXDEV, errno.EMLINK}


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Make an OSError of the block that names no file name this one."""
    try:
        yield
    except OSError as error:
        if error.errno is None or isinstance(error.filename, str | bytes):
            raise
        named = OSError(error.errno, error.strerror, os.fspath(path))
    else:
        return
    raise named


def write_all(descriptor: int, row: bytes | memoryview) -> None:
    """Write all of a row. The kernel may take it in several pieces, for example when the disk becomes full."""
    rest = memoryview(row)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read_at(descriptor: int, size_bytes: int, offset: int) -> bytes:
    """Read from a place in a file, without moving to it."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, size_bytes, offset)
    place = os.lseek(descriptor, 0, os.SEEK_CUR)
    os.lseek(descriptor, offset, os.SEEK_SET)
    try:
        return os.read(descriptor, size_bytes)
    finally:
        os.lseek(descriptor, place, os.SEEK_SET)


def keep_mode(descriptor: int, mode: int) -> None:
    """Give an open file a mode, if its file system and the platform have modes."""
    with contextlib.suppress(PermissionError):
        if hasattr(os, "fchmod"):
            os.fchmod(descriptor, mode)


def sync(descriptor: int, path: str | os.PathLike[str]) -> None:
    """Make a file survive a power loss, if its file system can do that (fsync(2)).

    Raises:
        OSError: The disk is full or fails.
    """
    _sync_with(os.fsync, descriptor, path, _NOT_THERE)


def sync_data(descriptor: int, path: str | os.PathLike[str]) -> None:
    """Make a file's content and size survive a power loss, as `sync` does (fdatasync(2)).

    Raises:
        OSError: The disk is full or fails.
    """
    _sync_with(getattr(os, "fdatasync", os.fsync), descriptor, path, _NOT_THERE)  # macOS has none


def sync_directory(path: Path) -> None:
    """Make the entry of a file in its directory survive a power loss (fsync(2), "does not necessarily ensure").

    Windows opens no directory for that: the entry is written with the file.

    Raises:
        OSError: The disk fails.
    """
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return  # the directory may be written to, but not read
    try:
        _sync_with(os.fsync, descriptor, path.parent, _NO_DIRECTORY_SYNC)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int, path: str | os.PathLike[str]) -> bool:
    """Lock a file until it is closed; return False if another process holds it.

    If the file system has no locks, the result is True, and a warning says so.

    Raises:
        OSError: The file cannot be locked for another reason.
    """
    try:
        return try_real_lock(descriptor, path)
    except OSError as error:
        if error.errno not in _NO_LOCK:
            raise
        words = error.strerror
    no_guard = f"its file system has no locks ({words}), so nothing keeps a second process from working on it"
    warn(f"{os.fspath(path)}: {no_guard}", stacklevel=2)
    return True


def try_real_lock(descriptor: int, path: str | os.PathLike[str]) -> bool:
    """Lock a file as `try_lock` does, but refuse a file system that has no locks.

    Raises:
        OSError: The file cannot be locked.
    """
    with naming(path):
        return lock_at_once(descriptor)


def has_no_links(error: OSError) -> bool:
    """Return whether an error of link(2) says that the file system has no hard links."""
    return error.errno in _NO_LINK


def _sync_with(
    synchronise: Callable[[int], None], descriptor: int, path: str | os.PathLike[str], ignored: frozenset[int]
) -> None:
    with naming(path):
        try:
            synchronise(descriptor)
        except OSError as error:
            if error.errno not in ignored:
                raise
