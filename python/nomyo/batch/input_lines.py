"""The input: its lines one by one, and what identifies it.

The input is read twice from beginning to end: first to count its rows and take its digest, then for its rows. The
second time the digest is taken again, so a file that changed in between is noticed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO, Final

from nomyo._files.opening import open_to_read

MAX_LINE_BYTES: Final = 64 * 1024 * 1024
"""A payload has at most 10 MiB, and JSON takes at most six bytes for a character: `\\uXXXX`."""

MAX_ROW_BYTES: Final = 320 * 1024 * 1024
"""For a row of an output. An answer has at most 64 MiB: three times that as ASCII JSON, and a third more in base64."""
_CHUNK_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Survey:
    """What identifies an input, and its size."""

    rows: int
    """Lines that are not blank."""
    lines: int
    size_bytes: int
    sha256: str
    """The digest of the whole file. Whoever has it can check a guess at the whole input."""
    called: str = "the input"
    """What errors call that which the digest is of."""


class NumberedLines:
    """The lines of a file that are not blank, with their numbers from 1.

    Args:
        file: Read from its present position.
        max_bytes: The length of the longest line. For a longer line, None is yielded in its place.
    """

    def __init__(self, file: BinaryIO, max_bytes: int = MAX_LINE_BYTES) -> None:
        self._file = file
        self._max_bytes = max_bytes
        self._digest = hashlib.sha256()
        self.number = 0
        """The number of the last line read."""
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """The digest of what was read so far."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        while piece := self._read():
            self.number += 1
            whole = piece.endswith(b"\n") or len(piece) < self._max_bytes
            if not whole:
                self._skip_line()
                yield self.number, None
            elif not piece.isspace():
                yield self.number, piece

    def _read(self) -> bytes:
        piece = self._file.readline(self._max_bytes)
        self._digest.update(piece)
        self.size_bytes += len(piece)
        return piece

    def _skip_line(self) -> None:
        while (piece := self._read()) and not piece.endswith(b"\n"):
            pass


def output_lines(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield the lines of an output, and the size of each in bytes.

    In place of a line that is longer than any row, a blank line is yielded, with the size of the whole line.
    """
    while line := file.readline(MAX_ROW_BYTES):
        size_bytes = len(line)
        if size_bytes == MAX_ROW_BYTES and not line.endswith(b"\n"):
            line = b"\n"
            size_bytes += _skipped_bytes(file)
        yield line, size_bytes


def _skipped_bytes(file: BinaryIO) -> int:
    """Read to the end of a line; return how many bytes that were."""
    size_bytes = 0
    while piece := file.readline(_CHUNK_BYTES):
        size_bytes += len(piece)
        if piece.endswith(b"\n"):
            break
    return size_bytes


def open_input(path: Path) -> BinaryIO:
    """Open an input.

    Raises:
        ValueError: The input is a pipe, a directory or a device, which cannot be read twice.
        OSError: The input cannot be opened.
    """
    descriptor = open_to_read(path)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    raise ValueError(
        f"the input must be a file, which can be read twice, and not a pipe, a directory or a device, as {path} is"
    )


def survey(file: BinaryIO, cancelled: Callable[[], bool] = lambda: False) -> Survey:
    """Read a whole file from its beginning; afterwards, its position is at the beginning again.

    Args:
        file: The input.
        cancelled: Returns True if the caller no longer needs the survey. Then the result is incomplete.
    """
    file.seek(0)
    lines = NumberedLines(file)
    rows = sum(1 for _ in takewhile(lambda _: not cancelled(), lines))
    file.seek(0)
    return Survey(rows, lines.number, lines.size_bytes, lines.sha256)
