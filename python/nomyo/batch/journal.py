"""What was done already: the output file itself, and a small file beside it that says of which input.

Rules and promises:

- The output is the journal. A row of the input is done if and only if its row is in the output, so the two cannot
  disagree, and no other file ever holds an answer.
- `OUTPUT.batch` identifies the input (size and SHA-256) and is locked while a batch runs. It is written once, before
  the first row, and never changed. It holds no content.
- Rows are appended whole. One that a kill, a full disk or a power loss tore is dropped on resume, and sent again.
- A row is in flight from when it is sent until it is on the disk (`appended`). Of rows that are no longer in flight,
  none is sent twice, unless it failed and `retry_errors` asks for it.
- Of rows, memory takes one bit each.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any, Final, Self

from nomyo.batch.appended import AppendedFile
from nomyo.batch.done import Done
from nomyo.batch.lines import Survey
from nomyo.batch.order import in_order
from nomyo.batch.records import read_mark
from nomyo.batch.rewrite import remove_leftover, replace, sync_directory
from nomyo.errors import BatchError

_FORMAT: Final = 1
_SUFFIX: Final = ".batch"
_OWNER_ONLY: Final = 0o600


class Journal:
    """The output of a batch, locked and open for more rows; `async with` closes it.

    Args:
        output: The output's path.
        survey: The input's.
        ordered: Whether rows stand in the order of the input's at the end.
        retry_errors: Whether rows that failed are to be done once more.
        most_unsynced: Rows that may be lost to a power loss, beside those under way.

    Raises:
        BatchError: The output is another batch's, or no batch's, or somebody else works on it.
        OSError: A file cannot be opened, read or written.
    """

    def __init__(self, output: Path, survey: Survey, *, ordered: bool, retry_errors: bool, most_unsynced: int) -> None:
        self._path = output.resolve()  # what is replaced is the file, not a link to it
        self._ordered = ordered
        self._lock = self._take_lock()
        try:
            self._check_or_write_header(survey)
            remove_leftover(self._path)
            self.done = Done(survey.lines)
            self._look_through(retry_errors)
            self._file = AppendedFile(self._open_output(), most_unsynced)
        except BaseException:
            os.close(self._lock)
            raise

    async def append(self, row: bytes) -> None:
        """Write a row; it is on the disk soon afterwards.

        Raises:
            OSError: The disk is full, or fails.
        """
        await self._file.append(row)
        self.done.take(read_mark(row))

    async def finish(self) -> None:
        """Wait until all rows are on the disk, and in order where that was asked for.

        Raises:
            OSError: The disk is full, or fails; no row is lost, and none out of its order is moved.
        """
        await self._file.sync()
        if self._ordered:
            self._put_in_order()

    async def aclose(self) -> None:
        """Close the output and let go of the lock."""
        await self._file.aclose()
        os.close(self._lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _take_lock(self) -> int:
        header = self._path.with_name(self._path.name + _SUFFIX)
        if not header.exists() and _size_bytes(self._path):
            raise BatchError(f"{self._path.name} holds something else already: name another output")
        descriptor = os.open(header, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _OWNER_ONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return descriptor
        raise BatchError(f"another process is working on {self._path.name}")

    def _check_or_write_header(self, survey: Survey) -> None:
        """Hold an output that was begun to its input; one that has no row yet may become anyone's."""
        wanted = {
            "format": _FORMAT,
            "input": {"size_bytes": survey.size_bytes, "sha256": survey.sha256},
            "ordered": self._ordered,
        }
        if _size_bytes(self._path):
            self._check_header(wanted)
            return
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, json.dumps(wanted).encode() + b"\n", 0)
        os.fsync(self._lock)
        sync_directory(self._path)

    def _check_header(self, wanted: dict[str, Any]) -> None:
        begun = self._read_header()
        if begun.get("format") != _FORMAT:
            raise BatchError(f"{self._path.name}{_SUFFIX} is damaged, or of another version: name another output")
        if begun.get("input") != wanted["input"]:
            raise BatchError(f"the input is not the one that {self._path.name} was begun with: name another output")
        if begun.get("ordered") != wanted["ordered"]:
            words = "with" if begun.get("ordered") else "without"
            raise BatchError(f"{self._path.name} was begun {words} --ordered: it can only go on so")

    def _read_header(self) -> dict[str, Any]:
        try:
            begun = json.loads(os.pread(self._lock, 4096, 0))
        except ValueError:
            return {}
        return begun if isinstance(begun, dict) else {}

    def _look_through(self, retry_errors: bool) -> None:
        """Learn what is done, and rid the output of what does not count: torn rows, and errors to retry."""
        if not _size_bytes(self._path):
            return
        place = end = 0
        gaps = False
        with open(self._path, "rb") as rows:
            for row in rows:
                start, place = place, place + len(row)
                if self.done.take(read_mark(row), retry_errors=retry_errors):
                    gaps = gaps or start != end
                    end = place
            if gaps:
                kept = Done(self.done.lines)
                rows.seek(0)
                replace(self._path, (row for row in rows if kept.take(read_mark(row), retry_errors=retry_errors)))
            elif end < place:  # the usual case, and one that needs no room on a full disk
                os.truncate(self._path, end)

    def _put_in_order(self) -> None:
        with open(self._path, "rb") as rows:
            sorted_rows = in_order(rows)
            if sorted_rows is not None:
                replace(self._path, sorted_rows)

    def _open_output(self) -> int:
        # Without O_NONBLOCK, opening a pipe would wait for its reader.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(self._path, flags, _OWNER_ONLY)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise BatchError("the output must be a regular file: a batch resumes from it")
        os.fsync(descriptor)
        sync_directory(self._path)
        return descriptor


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
