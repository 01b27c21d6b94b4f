"""A small file that the processes of one user read and replace in turn, in a directory that nobody else can enter.

Promises, and what they rest on:

- One process at a time: flock(2) on a lock file beside it. The kernel drops the lock of a process that dies, so no
  crash blocks others.
- All or nothing: the new content is written beside the old one and renamed over it (rename(2)). If a process is killed
  in between, nothing has changed.
- Private: the directory is 0700, the files are 0600. Links, other owners and lax modes are refused.
- All files are opened anew each time: a forked child shares its parent's open files, and flock's lock with them, and
  somebody may remove the directory meanwhile.
"""

from __future__ import annotations

import errno
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from nomyo._files.file_locks import unlock
from nomyo._files.file_systems import naming, try_real_lock
from nomyo._files.opening import CAREFULLY, OWNER_ONLY
from nomyo.errors import SecurityError

_MAX_BYTES: Final = 1 << 20


class BusyError(Exception):
    """Another process holds the lock, or removed the files. Trying again a moment later helps."""


class LockedContent(Protocol):
    """The content of the file while it is locked."""

    def read(self) -> bytes | None:
        """Return the content, or None if there is none."""

    def replace(self, content: bytes) -> None:
        """Replace the content. After an OSError, or a BusyError because files were removed, nothing has changed."""


class ProcessMemory:
    """Content in this process's memory, in place of a shared file."""

    def __init__(self) -> None:
        self._content: bytes | None = None

    @contextmanager
    def locked(self) -> Iterator[ProcessMemory]:
        """Return the content. Nobody else can change it as long as the block does not await."""
        yield self

    def read(self) -> bytes | None:
        """Return the content, or None if there is none."""
        return self._content

    def replace(self, content: bytes) -> None:
        """Replace the content."""
        self._content = content


class SharedFile:
    """A file that is read and replaced under its lock.

    Args:
        directory: The file's directory; it is made if its parent exists.
        name: The file's name, without a suffix.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / f"{name}.json"
        self._directory = directory
        self._name = name

    @contextmanager
    def locked(self) -> Iterator[LockedContent]:
        """Lock the file for a block. The block should be short: other processes try again every few milliseconds.

        Raises:
            BusyError: Another process holds the lock.
            SecurityError: The directory or a file in it is a link, another user's, or open to others.
            OSError: The directory or a file cannot be used, or this platform has no openat(2).
        """
        directory = _open_directory(self._directory)
        try:
            lock = self._lock(directory)
            try:
                yield _LockedFile(self.path, directory)
            finally:
                # Closing is not enough: a child that was forked meanwhile shares the lock until it is released.
                unlock(lock)
                os.close(lock)
        finally:
            os.close(directory)

    def _lock(self, directory: int) -> int:
        name = f"{self._name}.lock"
        try:
            lock = _open(self._directory / name, directory, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            raise BusyError from None  # the directory was removed meanwhile: the next attempt makes another one
        try:
            if not try_real_lock(lock, self._directory / name):
                raise BusyError
            if not os.path.samestat(os.fstat(lock), os.stat(name, dir_fd=directory, follow_symlinks=False)):
                raise BusyError  # the lock file was removed and made again: other processes lock the new one
        except FileNotFoundError:
            os.close(lock)
            raise BusyError from None
        except BaseException:
            os.close(lock)
            raise
        return lock


class _LockedFile:
    def __init__(self, path: Path, directory: int) -> None:
        self._path = path
        self._directory = directory

    def read(self) -> bytes | None:
        try:
            file = _open(self._path, self._directory, os.O_RDONLY)
        except FileNotFoundError:
            return None
        with naming(self._path), open(file, "rb") as opened:
            return opened.read(_MAX_BYTES + 1)

    def replace(self, content: bytes) -> None:
        staged = self._path.with_suffix(".new").name
        try:
            with suppress(FileNotFoundError):
                os.unlink(staged, dir_fd=self._directory)  # left by a process that was killed at this point
            file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CAREFULLY, OWNER_ONLY, dir_fd=self._directory)
            with open(file, "wb") as opened:
                opened.write(content)
            # No fsync: the content is of no use after a reboot.
            os.replace(staged, self._path.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except FileNotFoundError:
            raise BusyError from None  # the file was removed meanwhile, and perhaps its directory
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None


def default_directory() -> Path:
    """Return the directory through which all processes of this user on this machine share their books.

    It is not `$XDG_RUNTIME_DIR`, because cron jobs, services and containers' shells have none, and would not share.
    """
    shared_memory = Path("/dev/shm")  # noqa: S108 - a directory of ours in it is checked before it is used
    base = shared_memory if shared_memory.is_dir() else Path(tempfile.gettempdir())
    user = os.geteuid() if hasattr(os, "geteuid") else "user"
    return base / f"nomyo-{user}"


def _open_directory(path: Path) -> int:
    if os.open not in os.supports_dir_fd:
        raise OSError(errno.ENOSYS, "Windows opens no files below a directory that is held open", str(path))
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | CAREFULLY)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _refusal(path, "a link or no directory") from None
        raise
    return _checked(directory, path, stat.S_IFDIR)


def _open(path: Path, directory: int, flags: int) -> int:
    try:
        file = os.open(path.name, flags | CAREFULLY, OWNER_ONLY, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _refusal(path, "a link or no regular file") from None
        raise OSError(error.errno, error.strerror, str(path)) from None
    return _checked(file, path, stat.S_IFREG)


def _checked(descriptor: int, path: Path, kind: int) -> int:
    """Return the descriptor. Close it and raise a SecurityError if others could change what it refers to."""
    found = os.fstat(descriptor)
    fault = None
    if stat.S_IFMT(found.st_mode) != kind:
        fault = "a link or not what it should be"
    elif found.st_uid != os.geteuid():
        fault = "another user's"
    elif stat.S_IMODE(found.st_mode) & 0o077:
        fault = "open to other users"
    elif kind == stat.S_IFREG and found.st_nlink > 1:
        fault = "a file with a second name"
    if fault is not None:
        os.close(descriptor)
        raise _refusal(path, fault)
    return descriptor


def _refusal(path: Path, fault: str) -> SecurityError:
    return SecurityError(
        f"{path} is {fault}: rates are shared through a directory (0700) and files (0600) that are this user's alone."
        " NOMYO_RATE_DIR names another directory"
    )
