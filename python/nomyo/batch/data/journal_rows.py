"""Finds rows of a journal by their numbers. Rows stand in the order in which they were done, so their places are kept.

Memory: eight bytes for each row.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import BinaryIO, Self

from nomyo.batch.input_lines import output_lines
from nomyo.batch.records import whole_row
from nomyo.errors import BatchError


class JournalRows:
    """The rows of a journal; `with` closes it.

    Args:
        path: The journal.
        rows: How many rows the input has.

    Raises:
        OSError: It cannot be read.
    """

    def __init__(self, path: Path, rows: int) -> None:
        self._name = path.name
        self._file: BinaryIO = path.open("rb")
        try:
            self._places = self._read_places(rows)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __getitem__(self, number: int) -> bytes:
        """Return the row for a row of the input.

        Raises:
            BatchError: There is none, although the journal was complete.
        """
        place = self._places[number]
        if place:
            self._file.seek(place - 1)
            if found := whole_row(self._file.readline()):
                return found[0]
        raise BatchError(f"{self._name} lost row {number:,} while it was read: the same command goes on")

    def _read_places(self, rows: int) -> array[int]:
        places = array("Q", bytes(8 * (rows + 1)))
        place = 0
        for line, size_bytes in output_lines(self._file):
            found = whole_row(line)
            if found is not None and found[1].line <= rows and not places[found[1].line]:
                places[found[1].line] = place + 1
            place += size_bytes
        return places
