"""The input in parts: stretches of whole lines, which one actor sends and of which one file of the output is made.

A part is known by its place and its digest, so that a node on which the path leads to another file sends nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, cast

from nomyo.batch.lines import Lines, Survey
from nomyo.errors import BatchError

MOST_BYTES: Final = 16 * 1024 * 1024
"""What a part measures before it ends with the next row: it is read into memory whole."""


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the input."""

    line: int
    """The first of its lines, from 1."""
    last_line: int
    """The last of its lines that is not blank."""
    rows: int
    """Lines that are not blank."""
    offset_bytes: int
    size_bytes: int
    sha256: str

    def has(self, line: int) -> bool:
        """Whether a line lies in it; a blank one does, too."""
        return self.line <= line <= self.last_line


class _Digested:
    """A file whose bytes are digested on their way, for one part after another."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()

    def readline(self, size: int) -> bytes:
        piece = self._file.readline(size)
        self.digest.update(piece)
        return piece


def cut(file: BinaryIO, rows_per_part: int) -> tuple[Survey, list[Part]]:
    """Cut a file, read from its beginning, into parts; return them and what identifies the whole.

    Args:
        file: The input.
        rows_per_part: Rows of each but the last, and of those whose rows are large.
    """
    digested = _Digested(file)
    lines = Lines(cast("BinaryIO", digested))
    parts: list[Part] = []
    rows = before_lines = before_bytes = number = 0
    for number, _ in lines:
        rows += 1
        size_bytes = lines.size_bytes - before_bytes
        if rows < rows_per_part and size_bytes < MOST_BYTES:
            continue
        parts.append(Part(before_lines + 1, number, rows, before_bytes, size_bytes, digested.digest.hexdigest()))
        rows, before_lines, before_bytes = 0, number, lines.size_bytes
        digested.digest = hashlib.sha256()
    if rows:
        size_bytes = lines.size_bytes - before_bytes
        parts.append(Part(before_lines + 1, number, rows, before_bytes, size_bytes, digested.digest.hexdigest()))
    rows = sum(part.rows for part in parts)
    return Survey(rows, lines.number, lines.size_bytes, lines.sha256), parts


def rows_in(source: Path, part: Part) -> Iterator[tuple[int, bytes | None]]:
    """Yield the rows of a part with their lines; None for one that is too long.

    Raises:
        BatchError: The file is another, or was changed.
        OSError: It cannot be read.
    """
    with source.open("rb") as file:
        file.seek(part.offset_bytes)
        content = file.read(part.size_bytes)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise BatchError("the input was changed, or is another file on one of the nodes")
    for number, line in Lines(BytesIO(content)):
        yield part.line + number - 1, line
