"""Cuts the input into parts of whole lines. One actor sends a part, and makes one file of the output of it.

A part has a position and a digest. So if the path leads to another file on some node, that node sends nothing of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, Final, cast

from nomyo.batch.input_lines import NumberedLines, Survey, open_input
from nomyo.errors import BatchError

MAX_PART_BYTES: Final = 16 * 1024 * 1024
"""A part that reaches this size ends, because it is read into memory as a whole."""


@dataclass(frozen=True, slots=True)
class Part:
    """Consecutive lines of the input."""

    line: int
    """The number of its first line, from 1."""
    last_line: int
    """The number of its last line that is not blank."""
    rows: int
    """Lines that are not blank."""
    offset_bytes: int
    size_bytes: int
    sha256: str

    def has(self, line: int) -> bool:
        """Return whether a line, blank or not, lies in this part."""
        return self.line <= line <= self.last_line


class _Digested:
    """A file whose bytes are digested as they are read, for one part after another."""

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
        rows_per_part: How many rows a part has. The last part, and parts with large rows, have fewer.
    """
    digested = _Digested(file)
    lines = NumberedLines(cast("BinaryIO", digested))
    parts: list[Part] = []
    rows = before_lines = before_bytes = number = 0
    for number, _ in lines:
        rows += 1
        size_bytes = lines.size_bytes - before_bytes
        if rows < rows_per_part and size_bytes < MAX_PART_BYTES:
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
    """Yield the rows of a part with their line numbers; None for a row that is too long.

    Raises:
        BatchError: The file was changed, or is another one on this node.
        ValueError: `source` is not a regular file.
        OSError: The file cannot be read.
    """
    with open_input(source) as file:
        file.seek(part.offset_bytes)
        content = file.read(part.size_bytes)
    if hashlib.sha256(content).hexdigest() != part.sha256:
        raise BatchError("the input was changed, or is another file on one of the nodes")
    for number, line in NumberedLines(BytesIO(content)):
        yield part.line + number - 1, line
