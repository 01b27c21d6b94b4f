"""A file to which whole rows are appended, and synced in groups.

Rows are handed to the kernel at once, so they survive a kill of the process. They are synced together (fdatasync(2)) at
most `SYNC_INTERVAL_S` later, and at most `max_unsynced` rows wait for that. One sync for each row would limit a batch
to some hundred rows a second. Rarer syncs would let a power loss cost more answers than those of the requests under
way.

A file that belongs to its writer alone is checked for its name and size, because somebody may remove, replace or cut
it meanwhile, and its rows were paid for.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from nomyo._files.file_systems import naming, sync_data, write_all
from nomyo._threads import submit_or_run
from nomyo.errors import BatchError

SYNC_INTERVAL_S: Final = 0.1


class AppendLog:
    """A file open for appending, in one event loop.

    Args:
        descriptor: The open file; closed together with this object.
        path: The file's path, for errors.
        max_unsynced: How many rows may be written and not yet on the disk.
        expected_name: The name that the file must keep, with nothing in it except what this object appends. None if
            others may rename the file, or append to it.
    """

    def __init__(self, descriptor: int, path: Path, max_unsynced: int, *, expected_name: Path | None = None) -> None:
        self._descriptor = descriptor
        self._path = path
        self._expected_name = expected_name
        self._size_bytes = os.fstat(descriptor).st_size
        self._max_unsynced = max_unsynced
        self._unsynced = 0
        self._sync_now = asyncio.Event()
        self._syncing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "nomyo-batch-sync")

    async def append(self, row: bytes) -> None:
        """Write a row. If too many rows are unsynced, wait for the disk.

        Raises:
            BatchError: Somebody removed, replaced or changed the file.
            OSError: The disk is full or fails. A part of the row may be in the file.
        """
        self._check_size()
        with naming(self._path):
            write_all(self._descriptor, row)
        self._size_bytes += len(row)
        self._unsynced += 1
        self._start_sync()
        while self._unsynced >= self._max_unsynced:
            await asyncio.shield(self._start_sync())

    async def sync(self) -> None:
        """Wait until all rows are on the disk.

        Raises:
            BatchError: Somebody removed, replaced or changed the file.
            OSError: The disk fails.
        """
        while self._unsynced:
            syncing = self._start_sync()
            self._sync_now.set()
            await asyncio.shield(syncing)
        self._check_name()
        self._check_size()

    async def aclose(self) -> None:
        """Sync what is left, then close the file. Idempotent; failures are ignored."""
        if self._syncing is not None:
            self._sync_now.set()
            with contextlib.suppress(OSError, BatchError):
                await asyncio.shield(self._syncing)
        if self._descriptor >= 0:
            self._thread.shutdown()
            os.close(self._descriptor)
            self._descriptor = -1

    def _start_sync(self) -> asyncio.Task[None]:
        if self._syncing is None or self._syncing.done():
            if self._syncing is not None:
                self._syncing.result()  # a disk that failed once has lost rows, and may say so only once (fsync(2))
            self._syncing = asyncio.create_task(self._sync_later())
        if 2 * self._unsynced >= self._max_unsynced:
            self._sync_now.set()
        return self._syncing

    async def _sync_later(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._sync_now.wait(), SYNC_INTERVAL_S)
        self._sync_now.clear()
        rows = self._unsynced
        await asyncio.wrap_future(submit_or_run(lambda: self._thread, self._sync_file))
        self._unsynced -= rows

    def _sync_file(self) -> None:
        sync_data(self._descriptor, self._path)
        self._check_name()

    def _check_name(self) -> None:
        if self._expected_name is None or _is_at(self._expected_name, self._descriptor):
            return
        raise BatchError(f"{self._path.name} was removed, or replaced, while the batch wrote to it: rows may be lost")

    def _check_size(self) -> None:
        if self._expected_name is None:
            return
        found_bytes = os.fstat(self._descriptor).st_size
        if found_bytes != self._size_bytes:
            raise BatchError(
                f"{self._path.name} was changed by somebody else while the batch wrote to it: it has {found_bytes:,}"
                f" bytes instead of {self._size_bytes:,}; the same command goes on with what is there"
            )


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
