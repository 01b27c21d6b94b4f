"""Locks on open files, which the system drops when a process dies: flock(2), and LockFile on Windows."""

from __future__ import annotations

import errno
import os
import sys
from typing import Final

_LOCKED_BYTE: Final = (1 << 31) - 2
"""On Windows a lock is on bytes, which nobody else can read meanwhile. This is the last one that `locking` reaches; no
file of less than two gigabytes has it."""

if sys.platform == "win32":

    def lock_at_once(descriptor: int) -> bool:
        """Lock a file until it is closed; return False if somebody else holds it.

        Raises:
            OSError: The file cannot be locked.
        """
        import msvcrt

        try:
            _locking(descriptor, msvcrt.LK_NBLCK)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EDEADLK):
                raise
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Release a lock."""
        import msvcrt

        _locking(descriptor, msvcrt.LK_UNLCK)

    def _locking(descriptor: int, mode: int) -> None:
        import msvcrt

        place = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(descriptor, mode, 1)
        finally:
            os.lseek(descriptor, place, os.SEEK_SET)

else:

    def lock_at_once(descriptor: int) -> bool:
        """Lock a file until it is closed; return False if somebody else holds it.

        Raises:
            OSError: The file cannot be locked.
        """
        import fcntl

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def unlock(descriptor: int) -> None:
        """Release a lock, even if a child that was forked meanwhile shares it."""
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_UN)
