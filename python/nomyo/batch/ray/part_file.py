"""The output file of one part, which exists only when it is complete, and holds each row of its part once.

Rules and promises:

- `part-LINE.jsonl`, named for the first line of its part, is made by rename(2). It holds the part's rows in the order
  of the input, each once. An actor that sends the part again, on any node, makes a file of the same name.
- Until then, rows are appended to `unfinished-LINE.jsonl` as they are answered, and synced as in a batch on one machine
  (`nomyo.batch.append_log`). An actor that goes on with the part reads these rows, and sends the others. Rows that a
  kill tore are dropped.
- A finished file that was damaged since counts as unfinished: its whole rows are kept, and the others are sent again. A
  file that holds something, but no row and no torn row, belongs to somebody else, and stays as it is.
- An actor that Ray declared dead, but that still runs, may send rows twice. It cannot double them in the output,
  because a part is finished from the rows that are read back, one for each line of the input.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from nomyo._files.file_systems import sync_directory
from nomyo._files.new_files import remove_leftover, replace
from nomyo._files.opening import NO_LINK, open_to_append
from nomyo.batch.append_log import AppendLog
from nomyo.batch.input_lines import output_lines
from nomyo.batch.ray.parts import Part
from nomyo.batch.records import Mark, is_remnant, read_mark, whole_row
from nomyo.errors import BatchError

_PART: Final = "part-{:012}.jsonl"
_UNFINISHED: Final = "unfinished-{:012}.jsonl"


class PartFile:
    """The output of a part.

    Args:
        directory: The folder of the whole output.
        part: The part.
    """

    def __init__(self, directory: Path, part: Part) -> None:
        self._directory = directory
        self._part = part
        self._finished = directory / _PART.format(part.line)
        self._unfinished = directory / _UNFINISHED.format(part.line)

    def marks(self) -> list[Mark] | None:
        """Return the marks of the rows in the finished file; None if the part is not finished.

        A part is not finished if there is no such file, if an actor began the part again, or if the file is not as
        `finish` left it: a row is torn, missing, or belongs to another part.

        Raises:
            OSError: The file cannot be read.
        """
        if self._unfinished.exists():
            return None
        try:
            with self._finished.open("rb") as file:
                found = [read_mark(row) for row, _ in output_lines(file)]
        except FileNotFoundError:
            return None
        marks = [mark for mark in found if mark is not None and self._part.has(mark.line)]
        ascending = all(before.line < after.line for before, after in pairwise(marks))
        return marks if ascending and len(marks) == len(found) == self._part.rows else None

    def content(self) -> bytes:
        """Return the finished file as it stands.

        Raises:
            OSError: It cannot be read.
        """
        return self._finished.read_bytes()

    def rows(self) -> dict[int, bytes]:
        """Return the rows of the finished file, by their lines.

        Raises:
            OSError: It cannot be read.
        """
        return self._rows_of([self._finished])

    def kept_marks(self, *, retry_errors: bool) -> list[Mark]:
        """Return the marks of the rows that `kept` would keep, and change nothing."""
        marks = [read_mark(row) for row in self.kept_rows()]
        return [mark for mark in marks if mark is not None and not (mark.failed and retry_errors)]

    def kept_rows(self) -> list[bytes]:
        """Return the rows of the part that are done, whether it is finished or not."""
        if not (self._unfinished.exists() or self._finished.exists()):
            return []
        return list(self._rows().values())

    def output_has_answers(self) -> bool:
        """Return whether any file of the output holds an answer."""
        for path in self._directory.glob("*.jsonl"):
            with suppress(FileNotFoundError), path.open("rb") as file:
                marks = (read_mark(row) for row, _ in output_lines(file))
                if any(mark is not None and not mark.failed for mark in marks):
                    return True
        return False

    def kept(self, *, retry_errors: bool) -> set[int]:
        """Return the lines whose rows are done, and remove everything else from the unfinished file.

        Args:
            retry_errors: Whether rows that failed are sent once more.
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
    async def appending(self, max_unsynced: int) -> AsyncIterator[AppendLog]:
        """Open the unfinished file for more rows. If the block ends without an error, they are on the disk."""
        file = AppendLog(self._open(), self._unfinished, max_unsynced)
        try:
            yield file
            await file.sync()
        finally:
            await file.aclose()

    def finish(self) -> None:
        """Make the finished file from the unfinished one.

        Raises:
            BatchError: Rows are missing, because they were not sent.
        """
        try:
            rows = self._rows_of([self._unfinished])
        except FileNotFoundError:
            return  # another actor, which Ray had declared dead, finished the part meanwhile
        if len(rows) != self._part.rows:
            raise BatchError(f"{self._unfinished.name} lacks rows: call again to send them")
        replace(self._unfinished, (rows[line] for line in sorted(rows)))
        os.replace(self._unfinished, self._finished)
        sync_directory(self._finished)

    def _rows(self) -> dict[int, bytes]:
        there = [path for path in (self._unfinished, self._finished) if path.exists()]
        with suppress(FileNotFoundError):  # another actor finished the part in between
            return self._rows_of(there)
        return self._rows_of([self._finished])

    def _rows_of(self, paths: list[Path]) -> dict[int, bytes]:
        """Return the whole rows of this part that the files hold, by line; if a line has two rows, the first."""
        found: dict[int, bytes] = {}
        for path in paths:
            with path.open("rb") as file:
                for row, mark in _whole_rows(file, path.name):
                    if self._part.has(mark.line) and _is_json(row):
                        found.setdefault(mark.line, row)
        return found

    def _open(self) -> int:
        return open_to_append(self._unfinished, NO_LINK)


def _whole_rows(file: BinaryIO, name: str) -> Iterator[tuple[bytes, Mark]]:
    """Yield the whole rows of a file. Refuse a file that holds something, but no row and no torn row."""
    rows = foreign = 0
    for line, _ in output_lines(file):
        row = whole_row(line)
        foreign += row is None and not is_remnant(line)
        rows += row is not None
        if row is not None:
            yield row
    if foreign and not rows:
        raise BatchError(f"{name} holds no row of a batch: name another output")


def _is_json(row: bytes) -> bool:
    """Return whether a row is JSON, and not the beginning of one row and the end of another."""
    with suppress(ValueError, RecursionError):
        json.loads(row)
        return True
    return False


def _failed(row: bytes) -> bool:
    mark = read_mark(row)
    return mark is None or mark.failed
