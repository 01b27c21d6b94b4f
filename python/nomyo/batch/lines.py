"""The input: its lines one by one, and what identifies it.

It is read twice from beginning to end: once to count its rows and take its digest, and once for its rows, with the
digest taken along the way, so that a file that is written to meanwhile is noticed.
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

LONGEST_LINE_BYTES: Final = 64 * 1024 * 1024
"""A payload has at most 10 MiB, and JSON takes six bytes for a character at most: `\\uXXXX`."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What identifies an input, and how much there is of it."""

    rows: int
    """Lines that are not blank."""
    lines: int
    size_bytes: int
    sha256: str
    """Of the whole file. It tells a reader of the journal whether a guess at the whole input is right."""


class Lines:
    """The lines of a file that are not blank, with their numbers from 1.

    Args:
        file: Is read from its present place.
        longest_bytes: What a line may measure; of a longer one, None is handed out.
    """

    def __init__(self, file: BinaryIO, longest_bytes: int = LONGEST_LINE_BYTES) -> None:
        self._file = file
        self._longest_bytes = longest_bytes
        self._digest = hashlib.sha256()
        self.number = 0
        """Of the line read last."""
        self.size_bytes = 0

    @property
    def sha256(self) -> str:
        """The digest of what was read so far."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[tuple[int, bytes | None]]:
        while piece := self._read():
            self.number += 1
            whole = piece.endswith(b"\n") or len(piece) < self._longest_bytes
            if not whole:
                self._skip_line()
                yield self.number, None
            elif not piece.isspace():
                yield self.number, piece

    def _read(self) -> bytes:
        piece = self._file.readline(self._longest_bytes)
        self._digest.update(piece)
        self.size_bytes += len(piece)
        return piece

    def _skip_line(self) -> None:
        while (piece := self._read()) and not piece.endswith(b"\n"):
            pass


def open_input(path: Path) -> BinaryIO:
    """Open an input.

    Raises:
        ValueError: It is no file that can be read twice: a pipe, which nobody may ever write to, a directory.
        OSError: It cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    raise ValueError("the input must be a file, which can be read twice, and not a pipe or a directory")


def survey(file: BinaryIO, given_up: Callable[[], bool] = lambda: False) -> Survey:
    """Read a whole file, from its beginning; it is at its beginning afterwards.

    Args:
        file: The input.
        given_up: Whether nobody wants to know any more; what is returned then is of no use.
    """
    file.seek(0)
    lines = Lines(file)
    rows = sum(1 for _ in takewhile(lambda _: not given_up(), lines))
    file.seek(0)
    return Survey(rows, lines.number, lines.size_bytes, lines.sha256)
