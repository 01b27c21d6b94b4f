"""A chained file (`chain.py`) that stays open between lines, and is synced behind its writers.

Opening a file, checking it and reading its end take a dozen system calls, and each of them lets go of the interpreter,
for which the other threads compete. Here a line takes one call of the core, as long as nobody else has written to the
file.

Rules:

- A line is in the file (write(2)) when it was appended, so a process that is killed loses none. `sync` puts the lines
  on the disk.
- If a sync fails, the system may have dropped what it could not write (fsync(2), "EIO"). So lines are kept until they
  are synced, and the next `sync` writes them again where they stood.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final, TypeAlias

from nomyo._core import ChainEnd
from nomyo._files.file_locks import unlock
from nomyo._files.file_systems import naming, sync_data, write_all
from nomyo._files.private_files import lock, locked_again
from nomyo.trust.chain import LockedChain, Written

_MOST_UNSYNCED: Final = 10_000
"""If a disk is so slow that more groups of lines gather, their writers wait for it."""

Lines: TypeAlias = tuple[int, bytes]
"""Where they begin in the file, and the lines, as they were written together."""


class OpenChain:
    """A chained file that this process appends to.

    Args:
        path: The file, which is created with the first line.
        kind: What it holds.
    """

    def __init__(self, path: Path, kind: str) -> None:
        self._path = path
        self._kind = kind
        self._file: _OpenFile | None = None
        self._replaced: list[_OpenFile] = []
        """Files that were at the path before, and have lines to be synced."""
        self._syncing = threading.Lock()
        self.has_failed = False
        """Whether the last sync failed."""

    @property
    def is_full(self) -> bool:
        """Whether so much waits for a sync that the next writer should wait for it, too."""
        return self._file is not None and len(self._file.unsynced) > _MOST_UNSYNCED

    def try_append(self, entries: list[bytes]) -> bool:
        """Append lines, if nobody else has written to the file or has locked it. Any number of threads may do so.

        Args:
            entries: Objects of JSON as `chain.append` writes them. All are removed once they are in the file, whatever
                interrupts this.

        Returns:
            Whether no entry is left.

        Raises:
            OSError: The disk is full or fails; nothing was written.
        """
        file = self._file
        if file is None:
            return False
        return not entries or file.end.append(entries, file.unsynced)

    def append(self, entries: list[bytes]) -> None:
        """Append lines, whoever else has written to the file; it may wait for other processes. One thread may do so.

        Raises:
            ValueError, SecurityError, OSError: As in `chain.append`; nothing was written.
        """
        descriptor = lock(self._path)
        try:
            written = LockedChain(descriptor, self._path, self._kind).write(entries)
            file = _OpenFile(descriptor, self._path, written)
        except BaseException:
            unlock(descriptor)
            os.close(descriptor)
            raise
        unlock(descriptor)
        if self._file is not None and self._file.unsynced:
            self._replaced.append(self._file)
        self._file = file

    def sync(self) -> None:
        """Put all lines on the disk that were appended before (fdatasync(2)).

        Raises:
            OSError: The disk is full or fails. The next call tries again.
        """
        with self._syncing:
            replaced = self._replaced[:]
            try:
                for file in replaced if self._file is None else [*replaced, self._file]:
                    self._sync(file)
            except OSError:
                self.has_failed = True
                raise
            self.has_failed = False
            del self._replaced[: len(replaced)]

    def close(self) -> None:
        """Close the file, without a sync: a forked child does so with its copy."""
        for file in self._replaced if self._file is None else [*self._replaced, self._file]:
            file.close()

    def _sync(self, file: _OpenFile) -> None:
        lines = file.unsynced[:]
        if not lines:
            return
        if self.has_failed:
            file.write_again(lines, self._path)
        sync_data(file.descriptor, self._path)
        del file.unsynced[: len(lines)]


class _OpenFile:
    """An open file with lines at its end, closed when nobody uses it any more."""

    def __init__(self, descriptor: int, path: Path, written: Written) -> None:
        self.descriptor = descriptor
        self._is_closed = False
        self.end = ChainEnd(descriptor, path, written.end_bytes, written.chain)
        self.unsynced: list[Lines] = [(written.offset_bytes, written.rows)] if written.rows else []
        """Writers add at the end and a sync removes at the beginning, each in one step of the interpreter."""

    def write_again(self, lines: list[Lines], path: Path) -> None:
        """Write lines where they stand, under the lock of the file: others may be adding lines, or cutting it.

        Raises:
            OSError: The disk fails, or another process holds the lock for long.
        """
        with locked_again(self.descriptor, path), naming(path):
            size_bytes = os.fstat(self.descriptor).st_size
            for offset_bytes, rows in lines:
                if offset_bytes + len(rows) <= size_bytes:  # else somebody has cut the file
                    os.lseek(self.descriptor, offset_bytes, os.SEEK_SET)  # writers use no position
                    write_all(self.descriptor, rows)

    def close(self) -> None:
        if not self._is_closed:
            self._is_closed = True
            os.close(self.descriptor)

    def __del__(self) -> None:
        self.close()
