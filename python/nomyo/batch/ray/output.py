"""The output folder of a cluster's batch, with its header and lock.

`batch.json` holds the same header as `OUTPUT.batch` of a batch on one machine (`nomyo.batch.header`). It is written
before the first row, and is locked (flock(2)) while a job runs.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Self

from nomyo._files.file_systems import naming, read_at, sync, sync_directory, try_lock, write_all
from nomyo._files.opening import open_to_lock
from nomyo.batch.header import MAX_BYTES, Header
from nomyo.errors import BatchError

_HEADER: Final = "batch.json"


class OutputFolder:
    """The folder that a job writes to, locked; leaving the `with` block releases the lock.

    Args:
        path: The folder. If it does not exist, it is made, accessible to its owner alone.
        header: What the job expects in the folder's header, or writes into a new one.
        name: What messages call the output; None for the folder's own name.

    Raises:
        BatchError: The folder belongs to another batch, holds something else, or another job uses it.
        OSError: The folder cannot be made or written.
    """

    def __init__(self, path: Path, header: Header, *, name: str | None = None) -> None:
        self.path = path
        self._name = name or path.name
        path.mkdir(mode=0o700, exist_ok=True)
        file = path / _HEADER
        if not file.exists() and any(path.iterdir()):
            raise BatchError(f"{self._name} holds something else already: name another output")
        self._lock = open_to_lock(file)
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
        if try_lock(self._lock, self.path / _HEADER):
            return
        raise BatchError(f"another job is working on {self._name}")

    def _check_or_write(self, header: Header) -> None:
        with naming(self.path / _HEADER):
            begun = read_at(self._lock, MAX_BYTES, 0)
        if begun:
            header.check(begun, self._name, _HEADER)
            return
        if any(file.name != _HEADER for file in self.path.iterdir()):
            raise BatchError(
                f"{_HEADER} is empty, so the input of the rows in {self._name} is unknown: name another output"
            )
        with naming(self.path / _HEADER):
            write_all(self._lock, header.encoded())
        sync(self._lock, self.path / _HEADER)
        sync_directory(self.path / _HEADER)
