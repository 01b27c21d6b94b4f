"""The rows of a part, as an actor reads them, and the file that it makes of their answers."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nomyo.batch.ray.part_file import PartFile
from nomyo.batch.ray.parts import Part, rows_in
from nomyo.batch.records import BadRow, Row, read_row


class PartRows(Protocol):
    """The rows of a part. Its methods may block: threads call them."""

    def requests(self, done: Container[int]) -> list[Row | BadRow]:
        """Return the requests of the rows that are not done, by their lines.

        Raises:
            BatchError: The input was changed, or is another one on this node.
            OSError: It cannot be read.
        """

    def complete(self, journal: PartFile) -> None:
        """Make the part's file from its finished journal.

        Raises:
            OSError: The disk is full or fails. The journal has all rows.
            BatchError: It cannot be made.
        """


class PartSource(Protocol):
    """An input. It travels to the actors, so it holds no content and no secret until it is used there."""

    def open(self, part: Part) -> PartRows:
        """Return the rows of a part.

        Raises:
            BatchError, ValueError, OSError: The input cannot be used.
        """

    def is_complete(self, part: Part, journal: PartFile) -> bool:
        """Return whether the part's file is there, and made from its finished journal."""


@dataclass(frozen=True, slots=True)
class LineSource:
    """A file of requests in OpenAI's format; the journals are the output."""

    path: str

    def open(self, part: Part) -> PartRows:
        """Return the rows of a part."""
        return _Lines(Path(self.path), part)

    def is_complete(self, part: Part, journal: PartFile) -> bool:
        """Return True: nothing more is made."""
        return True


@dataclass(frozen=True, slots=True)
class _Lines:
    path: Path
    part: Part

    def requests(self, done: Container[int]) -> list[Row | BadRow]:
        return [read_row(line, text) for line, text in rows_in(self.path, self.part) if line not in done]

    def complete(self, journal: PartFile) -> None:
        """Do nothing."""
