"""The output of one part: a file that is there when it is whole, and holds each row of its part once.

Rules and promises:

- `part-LINE.jsonl`, named for the first line of its part, comes into being by rename(2). It holds the part's rows in
  the order of the input, each once: whoever sends a part again, on whatever node, makes the file of the same name.
- Until then, rows are appended to `unfinished-LINE.jsonl` as they are answered, and synced as a batch on one machine
  does (`nomyo.batch.appended`). Who goes on with the part reads them, and sends the others. What a kill tore is
  dropped.
- A finished file that was damaged since is no finished one: what is whole of it is kept, and the rest sent again.
- An actor that Ray took for dead and that goes on meanwhile may send rows twice. It cannot double them: a part is
  finished from what is read back, one row a line of the input.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Final

from nomyo.batch.appended import AppendedFile
from nomyo.batch.ray.parts import Part
from nomyo.batch.records import Mark, read_mark, whole_row
from nomyo.batch.rewrite import remove_leftover, replace, sync_directory
from nomyo.errors import BatchError

_OWNER_ONLY: Final = 0o600
_PART: Final = "part-{:012}.jsonl"
_UNFINISHED: Final = "unfinished-{:012}.jsonl"


class PartFile:
    """The output of a part.

    Args:
        directory: Of the whole output.
        part: The part.
    """

    def __init__(self, directory: Path, part: Part) -> None:
        self._part = part
        self._finished = directory / _PART.format(part.line)
        self._unfinished = directory / _UNFINISHED.format(part.line)

    def marks(self) -> list[Mark] | None:
        """Return what the finished file says of its rows; None where the part is to be done.

        So it is where there is no such file, where somebody began it anew, and where the file is not as `finish` left
        it: a row is torn, missing or another part's.

        Raises:
            OSError: It cannot be read.
        """
        if self._unfinished.exists():
            return None
        try:
            with self._finished.open("rb") as file:
                found = [read_mark(row) for row in file]
        except FileNotFoundError:
            return None
        marks = [mark for mark in found if mark is not None and self._part.has(mark.line)]
        ascending = all(before.line < after.line for before, after in pairwise(marks))
        return marks if ascending and len(marks) == len(found) == self._part.rows else None

    def kept(self, *, retry_errors: bool) -> set[int]:
        """Return the lines whose rows are there already, and rid the unfinished file of all else.

        Args:
            retry_errors: Whether rows that failed are to be done once more.
        """
        rows = self._rows()
        if retry_errors:
            rows = {line: row for line, row in rows.items() if not _failed(row)}
        if rows or self._unfinished.exists():
            os.close(self._open())
            remove_leftover(self._unfinished)
            replace(self._unfinished, rows.values())
        return set(rows)

    @asynccontextmanager
    async def appending(self, most_unsynced: int) -> AsyncIterator[AppendedFile]:
        """Open the unfinished file for more rows; they are on the disk when the block ends well."""
        file = AppendedFile(self._open(), most_unsynced)
        try:
            yield file
            await file.sync()
        finally:
            await file.aclose()

    def finish(self) -> None:
        """Make the part's file of the unfinished one.

        Raises:
            BatchError: Rows are missing; they were not sent then.
        """
        try:
            rows = self._rows_of([self._unfinished])
        except FileNotFoundError:
            return  # another actor finished the part, and was slower or faster than Ray thought
        if len(rows) != self._part.rows:
            raise BatchError(f"{self._unfinished.name} lacks rows: the same call goes on")
        replace(self._unfinished, (rows[line] for line in sorted(rows)))
        os.replace(self._unfinished, self._finished)
        sync_directory(self._finished)

    def _rows(self) -> dict[int, bytes]:
        there = [path for path in (self._unfinished, self._finished) if path.exists()]
        with suppress(FileNotFoundError):  # another actor finished the part in between
            return self._rows_of(there)
        return self._rows_of([self._finished])

    def _rows_of(self, paths: list[Path]) -> dict[int, bytes]:
        """Return the whole rows of this part in files, by their lines; of two for one line, the first."""
        found: dict[int, bytes] = {}
        for path in paths:
            with path.open("rb") as file:
                for row, mark in filter(None, map(whole_row, file)):
                    if self._part.has(mark.line) and _is_json(row):
                        found.setdefault(mark.line, row)
        return found

    def _open(self) -> int:
        return os.open(
            self._unfinished, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, _OWNER_ONLY
        )


def _is_json(row: bytes) -> bool:
    """Whether a row is one, and not the beginning of one and the end of another."""
    with suppress(ValueError):
        json.loads(row)
        return True
    return False


def _failed(row: bytes) -> bool:
    mark = read_mark(row)
    return mark is None or mark.failed
