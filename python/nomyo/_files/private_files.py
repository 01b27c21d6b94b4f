"""Files that the processes of one user share: opened with care, locked, and refused if others could change them.

Rules:

- A link, something that is no regular file, another user's file, a file with a second name, and one that others may
  read or write are refused. A new file has the mode 0600.
- One process at a time: flock(2). The kernel drops the lock of a process that dies, so no crash blocks others.
- The file is opened anew each time: a forked child shares its parent's open files, and flock's lock with them.
"""

from __future__ import annotations

import errno
import os
import random
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nomyo._files.file_locks import unlock
from nomyo._files.file_systems import naming, try_real_lock
from nomyo._files.new_files import staged
from nomyo._files.opening import open_private_to_lock, open_private_to_read
from nomyo.errors import SecurityError

LONGEST_WAIT_S: Final = 10.0
"""For a lock that others hold for milliseconds; a process that was stopped may hold it for ever."""
_SHORTEST_PAUSE_S: Final = 0.001
_LONGEST_PAUSE_S: Final = 0.02
_OTHERS: Final = 0o077


@contextmanager
def private_file(path: Path) -> Iterator[int]:
    """Open a file to read it.

    Yields:
        A descriptor.

    Raises:
        SecurityError: Others could have changed the file.
        OSError: It does not exist, or cannot be opened.
    """
    with _refusing_links(path):
        descriptor = open_private_to_read(path)
    try:
        check_private(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def locked_file(path: Path) -> Iterator[int]:
    """Open a file, to read and to write it, and lock it for a block; it is created if it does not exist.

    The block should be short, because other processes wait for it.

    Yields:
        A descriptor.

    Raises:
        SecurityError: Others could have changed the file.
        TimeoutError: Another process holds the lock for longer than `LONGEST_WAIT_S`.
        OSError: It cannot be opened or locked.
    """
    descriptor = lock(path)
    try:
        yield descriptor
    finally:
        # Closing is not enough: a child that was forked meanwhile shares the lock until it is released.
        unlock(descriptor)
        os.close(descriptor)


def lock(path: Path) -> int:
    """Open a file, to read and to write it, and lock it; it is created if it does not exist.

    Returns:
        A descriptor of the file that has this name once it is locked: another may have replaced it meanwhile. The
        caller unlocks and closes it.

    Raises:
        SecurityError, TimeoutError, OSError: As in `locked_file`.
    """
    for _ in _attempts(path):
        with _refusing_links(path):
            descriptor = open_private_to_lock(path)
        try:
            check_private(descriptor, path)
            if try_real_lock(descriptor, path) and _is_at(path, descriptor):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise AssertionError("attempts end by an error")


@contextmanager
def locked_again(descriptor: int, path: Path) -> Iterator[None]:
    """Lock an open file for a block, even if another file has its path by then.

    Raises:
        TimeoutError: Another process holds the lock for longer than `LONGEST_WAIT_S`.
        OSError: It cannot be locked.
    """
    for _ in _attempts(path):
        if try_real_lock(descriptor, path):
            break
    try:
        yield
    finally:
        unlock(descriptor)


def _attempts(path: Path) -> Iterator[None]:
    """Yield at once, and again after growing pauses.

    Raises:
        TimeoutError: `LONGEST_WAIT_S` are over.
    """
    give_up_at = time.monotonic() + LONGEST_WAIT_S
    pause_s = _SHORTEST_PAUSE_S
    while True:
        yield
        if time.monotonic() > give_up_at:
            words = f"another process has locked it for more than {LONGEST_WAIT_S:g} s"
            raise TimeoutError(errno.ETIMEDOUT, words, str(path))
        # Random, so that waiting processes do not come back all at once (G. Brooker, "Exponential Backoff And Jitter").
        time.sleep(random.uniform(_SHORTEST_PAUSE_S, pause_s))  # noqa: S311 - no secret depends on it
        pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)


def check_private(descriptor: int, path: Path) -> None:
    """Refuse a file that others could change.

    Args:
        descriptor: The open file.
        path: Its path, for the error.

    Raises:
        SecurityError: It is no regular file, not this user's, open to others, or has a second name.
    """
    found = os.fstat(descriptor)
    fault = None
    if not stat.S_ISREG(found.st_mode):
        fault = "it is no regular file"
    elif hasattr(os, "geteuid") and found.st_uid != os.geteuid():
        fault = "it belongs to another user"
    elif os.name == "posix" and stat.S_IMODE(found.st_mode) & _OTHERS:
        fault = f"other users may open it: its mode is {stat.S_IMODE(found.st_mode):04o}, and must be 0600"
    elif found.st_nlink > 1 and not _is_being_named(path, descriptor):
        fault = "it has a second name (a hard link)"
    if fault is not None:
        raise refusal(path, fault)


def refusal(path: Path, fault: str) -> SecurityError:
    """Return the error for a file that is not used, and stays as it is."""
    return SecurityError(f"{path} is not used, and stays as it is: {fault}")


@contextmanager
def _refusing_links(path: Path) -> Iterator[None]:
    fault = None
    try:
        with naming(path):
            yield
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise
        fault = "it is a symbolic link" if error.errno == errno.ELOOP else "it is no regular file"
    if fault is not None:
        raise refusal(path, fault)


def _is_being_named(path: Path, descriptor: int) -> bool:
    """Return whether the second name is the one that `new_files.created` removes at its end, or was until now.

    It stays if the process was killed before; the next process that replaces the file removes it.
    """
    return _is_at(staged(path), descriptor) or os.fstat(descriptor).st_nlink == 1


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
