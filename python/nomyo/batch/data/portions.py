"""The rows of an input in portions, each of which becomes a file of its own.

Portions may be taken in any order. A file is read forwards, so whoever takes portions in their order reads it once. For
a portion that lies further back, the file is read again from its beginning. A portion is in memory as a whole.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nomyo.batch.data.arrow_files import records_of, select
from nomyo.batch.data.compressed import in_own_words
from nomyo.batch.data.records import Reader
from nomyo.batch.data.source import DataSource
from nomyo.batch.data.text_files import JsonLines, SeparatedValues, batches_of
from nomyo.batch.records import BadRow, Row
from nomyo.errors import BatchError


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Rows of one file that follow each other; read as a `Reader` is."""

    reader: Reader
    place: int
    """Of the first row in its file, from 1."""
    number: int
    """Of the first row in the whole input, from 1."""
    pieces: Sequence[Any] = field(repr=False)
    """Record batches, or lists of a record or a line."""

    def found(self, columns: set[str] | None) -> Iterator[Any]:
        """Yield the lines of a file of requests, or the records of any other."""
        for piece in self.pieces:
            if isinstance(piece, list):
                yield from piece
            else:
                yield from records_of(piece if columns is None else select(piece, columns))

    def lines(self) -> Iterator[Any]:
        """Yield the lines of a file of requests."""
        return self.found(None)

    def batches(self, schema: Any) -> Iterator[Any]:
        """Yield the rows as record batches."""
        if isinstance(self.reader, JsonLines | SeparatedValues):
            return batches_of(self.found(None), schema)
        return iter(self.pieces)


class Portion:
    """Rows of an input that follow each other.

    Args:
        source: The input.
        stretches: The rows, by their files.
    """

    def __init__(self, source: DataSource, stretches: Sequence[_Stretch]) -> None:
        self._source = source
        self.readers: Sequence[Any] = stretches
        """The rows as an `Assembly` reads them."""

    def requests(self, done: Container[int]) -> Iterator[Row | BadRow]:
        """Yield the requests of the rows that are not done, by their numbers."""
        for each in self.readers:
            for offset, found in enumerate(each.found(self._source.columns)):
                if each.number + offset not in done:
                    yield self._source.row(each.number + offset, f"{each.reader.name}:{each.place + offset}", found)


class Portions:
    """The rows of an input that is open. May be used by several threads.

    Args:
        source: The input.
        schema: Its columns, as `input_schema` returns them.
    """

    def __init__(self, source: DataSource, schema: Any) -> None:
        self._source = source
        self._files = [_Forwards(_pieces_of(source, reader, schema)) for reader in source.readers]

    @in_own_words
    def take(self, first: int, rows: int) -> Portion:
        """Return rows from the one with this number on.

        Raises:
            BatchError: A file changed since it was opened, is damaged, or has fewer rows.
            OSError: A file cannot be read.
        """
        return Portion(self._source, list(self._stretches(first - 1, first - 1 + rows)))

    def _stretches(self, begin: int, end: int) -> Iterator[_Stretch]:
        before = 0
        for place, (file, count) in enumerate(zip(self._files, self._source.counts, strict=True)):
            start, stop = max(begin, before) - before, min(end, before + count) - before
            if start < stop:
                self._source.check_unchanged(place)
                pieces = file.take(start, stop)
                self._source.check_unchanged(place)
                yield _Stretch(self._source.readers[place], start + 1, before + start + 1, pieces)
            before += count


def _pieces_of(source: DataSource, reader: Reader, schema: Any) -> Callable[[], Iterator[Any]]:
    """Return a function that begins to read a file."""
    if isinstance(reader, JsonLines | SeparatedValues):
        return lambda: ([found] for found in source.found_in(reader))
    return lambda: reader.batches(schema)


class _Forwards:
    """Rows of a file by their places, from 0.

    Args:
        begin: Begins to read the file; returns an iterator of pieces, which have a length and can be sliced.
    """

    def __init__(self, begin: Callable[[], Iterator[Any]]) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._pieces: Iterator[Any] | None = None
        self._piece: Any = []
        self._place = 0
        """Of the first row in the piece."""

    def take(self, begin: int, end: int) -> list[Any]:
        """Return the rows from one place to before another.

        Raises:
            BatchError: The file has fewer rows.
        """
        with self._lock:
            if self._pieces is None or begin < self._place:
                self._pieces, self._piece, self._place = self._begin(), [], 0
            try:
                return list(self._taken(self._pieces, begin, end))
            except BaseException:
                self._pieces = None
                raise

    def _taken(self, pieces: Iterator[Any], begin: int, end: int) -> Iterator[Any]:
        while True:
            stop = self._place + len(self._piece)
            if stop > begin:
                yield self._piece[max(begin - self._place, 0) : end - self._place]
            if stop >= end:
                return
            self._place, self._piece = stop, next(pieces, None)
            if self._piece is None:
                raise BatchError("a file of the input has fewer rows than before: it changed")
