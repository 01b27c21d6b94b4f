"""The folder of a cluster's batch: which input it belongs to, and who works on it.

`batch.json` says what `OUTPUT.batch` of a batch on one machine does (`nomyo.batch.header`), is written before the first
row, and is locked (flock(2)) while a job runs.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from nomyo.batch.header import LONGEST_BYTES, Header
from nomyo.batch.rewrite import sync_directory
from nomyo.errors import BatchError

_HEADER: Final = "batch.json"


class OutputFolder:
    """The folder that a job writes to, locked; `with` lets go of it.

    Args:
        path: Made where it is not there, for its owner alone.
        header: What the job expects of its header, or writes into a new one.

    Raises:
        BatchError: It is another batch's, or holds something else, or another job works on it.
        OSError: It cannot be made or written.
    """

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        path.mkdir(mode=0o700, exist_ok=True)
        file = path / _HEADER
        if not file.exists() and any(path.iterdir()):
            raise BatchError(f"{path.name} holds something else already: name another output")
        self._lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            self._take_lock()
            self._check_or_write(header)
        except BaseException:
            os.close(self._lock)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._lock)

    def _take_lock(self) -> None:
        with suppress(BlockingIOError):
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        raise BatchError(f"another job is working on {self.path.name}")

    def _check_or_write(self, header: Header) -> None:
        begun = os.pread(self._lock, LONGEST_BYTES, 0)
        if begun:
            header.check(begun, self.path.name, _HEADER)
            return
        if any(file.name != _HEADER for file in self.path.iterdir()):
            raise BatchError(
                f"{_HEADER} is empty, and {self.path.name} holds rows, of no known input: name another output"
            )
        os.pwrite(self._lock, header.encoded(), 0)
        os.fsync(self._lock)
        sync_directory(self.path / _HEADER)
