"""A file that grows by whole rows, which are soon on the disk.

Rows are handed to the kernel at once, which outlasts a kill of the process. They are synced together (fdatasync(2)), at
most `SYNC_INTERVAL_S` later, and no more than `most_unsynced` may wait for it. A sync per row would stand in the way at
some hundred rows a second; a rarer one would have a power loss cost more answers than those of the requests under way.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from nomyo.errors import BatchError

SYNC_INTERVAL_S: Final = 0.1


class AppendedFile:
    """A file open for appending, in one event loop.

    Args:
        descriptor: Of the file; is closed with this object.
        most_unsynced: Rows that may not be on the disk yet.
        path: The name that it must keep; None where somebody else may give it another.
    """

    def __init__(self, descriptor: int, most_unsynced: int, path: Path | None = None) -> None:
        self._descriptor = descriptor
        self._path = path
        self._most_unsynced = most_unsynced
        self._unsynced = 0
        self._hurry = asyncio.Event()
        self._syncing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(1, "nomyo-batch-sync")

    async def append(self, row: bytes) -> None:
        """Write a row, and wait for the disk where too many were not synced.

        Raises:
            BatchError: Somebody removed or replaced the file.
            OSError: The disk is full, or fails; a part of the row may be in the file.
        """
        write_all(self._descriptor, row)
        self._unsynced += 1
        self._start_to_sync()
        while self._unsynced >= self._most_unsynced:
            await asyncio.shield(self._start_to_sync())

    async def sync(self) -> None:
        """Wait until all rows are on the disk.

        Raises:
            OSError: The disk fails.
        """
        while self._unsynced:
            syncing = self._start_to_sync()
            self._hurry.set()
            await asyncio.shield(syncing)

    async def aclose(self) -> None:
        """Close the file, as soon as the disk is through with it. Idempotent; what fails now is not told."""
        if self._syncing is not None:
            self._hurry.set()
            with contextlib.suppress(OSError, BatchError):
                await asyncio.shield(self._syncing)
        if self._descriptor >= 0:
            self._thread.shutdown()
            os.close(self._descriptor)
            self._descriptor = -1

    def _start_to_sync(self) -> asyncio.Task[None]:
        if self._syncing is None or self._syncing.done():
            if self._syncing is not None:
                self._syncing.result()  # a disk that failed once has lost rows, and may say so only once (fsync(2))
            self._syncing = asyncio.create_task(self._sync_soon())
        if 2 * self._unsynced >= self._most_unsynced:
            self._hurry.set()
        return self._syncing

    async def _sync_soon(self) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), SYNC_INTERVAL_S)
        self._hurry.clear()
        rows = self._unsynced
        await asyncio.get_running_loop().run_in_executor(self._thread, self._synced)
        self._unsynced -= rows

    def _synced(self) -> None:
        os.fdatasync(self._descriptor)
        if self._path is None or _is_at(self._path, self._descriptor):
            return
        raise BatchError(f"{self._path.name} was removed, or replaced, while the batch wrote to it: rows may be lost")


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def write_all(descriptor: int, row: bytes | memoryview) -> None:
    """Write all of a row; the kernel may take it in pieces, the last before it says that the disk is full."""
    rest = memoryview(row)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
