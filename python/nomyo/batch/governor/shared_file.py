"""A small file that the processes of one user read and replace in turn, in a directory that nobody else can enter.

What holds, and what the kernel does for it:

- One at a time: flock(2) on a file of its own. The kernel drops the lock of a process that dies, so no crash blocks
  others.
- All or nothing: the new content is written beside the old one and renamed over it (rename(2)). Whoever is killed in
  between has changed nothing.
- Private: directory 0700, files 0600. Links, other owners and lax modes are refused.
- Every turn opens all files anew: a forked child shares its parent's open files, and flock's lock with them, and
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

from nomyo.errors import SecurityError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_MOST_BYTES: Final = 1 << 20
# O_NONBLOCK: to open a FIFO that somebody put there must not wait for its other end.
_CAREFULLY: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class BusyError(Exception):
    """Another process has its turn, or removed the files; to try again a fraction of a millisecond later helps."""


class Turn(Protocol):
    """The file, for as long as it is locked."""

    def read(self) -> bytes | None:
        """Return the content, or None where there is none."""

    def replace(self, content: bytes) -> None:
        """Replace the content, or leave it as it was and raise an OSError, or a BusyError where the files went away."""


class OwnMemory:
    """In place of such a file: content that this process alone has."""

    def __init__(self) -> None:
        self._content: bytes | None = None

    @contextmanager
    def locked(self) -> Iterator[OwnMemory]:
        """Have a turn; without `await` in it, nobody else can."""
        yield self

    def read(self) -> bytes | None:
        """Return the content, or None where there is none."""
        return self._content

    def replace(self, content: bytes) -> None:
        """Replace the content."""
        self._content = content


class SharedFile:
    """A file that is read and replaced under its lock.

    Args:
        directory: Where it is; made, if its parent exists.
        name: Its name there, without an ending.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.path = directory / f"{name}.json"
        self._directory = directory
        self._name = name

    @contextmanager
    def locked(self) -> Iterator[Turn]:
        """Have a turn. It should be short: the others try again every few milliseconds.

        Raises:
            BusyError: Another process has its turn.
            SecurityError: The directory or a file of it is a link, somebody else's, or open to others.
            OSError: The directory or a file cannot be used, or this platform has no flock(2).
        """
        if fcntl is None:
            raise OSError(errno.ENOSYS, "this platform has no flock", str(self._directory))
        directory = _open_directory(self._directory)
        try:
            lock = self._lock(directory)
            try:
                yield _LockedFile(self.path, directory)
            finally:
                # Not by closing alone: a child forked meanwhile has the lock too, until it is given up.
                fcntl.flock(lock, fcntl.LOCK_UN)
                os.close(lock)
        finally:
            os.close(directory)

    def _lock(self, directory: int) -> int:
        name = f"{self._name}.lock"
        try:
            lock = _open(self._directory / name, directory, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            raise BusyError from None  # the directory was removed meanwhile: the next turn makes another one
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(lock), os.stat(name, dir_fd=directory, follow_symlinks=False)):
                raise BusyError  # removed and made again before we had it: others lock another one
        except (BlockingIOError, FileNotFoundError):
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
        with open(file, "rb") as opened:
            return opened.read(_MOST_BYTES + 1)

    def replace(self, content: bytes) -> None:
        staged = self._path.with_suffix(".new").name
        with suppress(FileNotFoundError):
            os.unlink(staged, dir_fd=self._directory)  # of a process that was killed at this place
        try:
            file = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _CAREFULLY, 0o600, dir_fd=self._directory)
            with open(file, "wb") as opened:
                opened.write(content)
            # No fsync: what this is about does not outlive the boot.
            os.replace(staged, self._path.name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
        except FileNotFoundError:
            raise BusyError from None  # removed meanwhile, and perhaps the directory with it
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self._path)) from None


def default_directory() -> Path:
    """Return the directory in which all processes of this user on this machine find each other.

    Not `$XDG_RUNTIME_DIR`: cron jobs, services and containers' shells have none, and would keep books of their own.
    """
    shared_memory = Path("/dev/shm")  # noqa: S108 - a directory of ours in it is checked before it is used
    base = shared_memory if shared_memory.is_dir() else Path(tempfile.gettempdir())
    user = os.geteuid() if hasattr(os, "geteuid") else "user"
    return base / f"nomyo-{user}"


def _open_directory(path: Path) -> int:
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    try:
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | _CAREFULLY)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise _refusal(path, "a link or no directory") from None
        raise
    return _checked(directory, path, stat.S_IFDIR)


def _open(path: Path, directory: int, flags: int) -> int:
    try:
        file = os.open(path.name, flags | _CAREFULLY, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO, errno.EISDIR):
            raise _refusal(path, "a link or no regular file") from None
        raise
    return _checked(file, path, stat.S_IFREG)


def _checked(descriptor: int, path: Path, kind: int) -> int:
    """Return the descriptor, or close it and raise a SecurityError where it is not a thing that only we can change."""
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
        " Remove it, or name another directory"
    )
