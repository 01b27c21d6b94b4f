"""Opens an output whose rows are sealed, and writes it with answers and columns in clear.

A row that cannot be opened is reported and left out. The number that is reported is that of the row in the output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path
from typing import IO, Any

from nomyo import _core
from nomyo.batch.data.answers import DEFAULT_FIELDS, FAILED, SEALED, answer_of
from nomyo.batch.data.arrow_files import arrow_reader, joined, records_of
from nomyo.batch.data.files import InputFile, known_format
from nomyo.batch.data.formats import JSONL, Format, format_of
from nomyo.batch.data.outputs import BatchWriter, batch_sink, check_types, row_writer
from nomyo.batch.data.records import Reader, Record
from nomyo.batch.data.sealed_columns import SEALED_INPUT, open_columns
from nomyo.batch.data.selection import Column, select_columns
from nomyo.batch.data.text_files import text_reader
from nomyo.batch.output_reader import Damaged, map_ahead
from nomyo.batch.records import BOM, FIRST_BYTES, read_mark
from nomyo.batch.sealed import open_row
from nomyo.errors import SecurityError

Opened = tuple[Any, Mapping[str, Any]]
"""A row: its columns of the input, as a batch of one row, and its answer."""


def is_table(output: Path) -> bool:
    """Return whether an output is a table, and not rows in OpenAI's batch format or a journal."""
    form = format_of(output)
    if form is None or not output.is_file():
        return False
    if form != Format(JSONL):
        return True
    with output.open("rb") as file:
        first = file.read(len(BOM + FIRST_BYTES)).removeprefix(BOM)
    return bool(first) and not first.startswith(FIRST_BYTES)


class SealedTable:
    """An output whose rows are sealed.

    Args:
        path: The output.
        key: The private key.
        damaged: Called for each row that cannot be opened.

    Raises:
        ValueError: Its rows are not sealed.
        BatchError: It cannot be read.
        OSError: The same.
    """

    def __init__(self, path: Path, key: _core.PrivateKey, damaged: Callable[[Damaged], object]) -> None:
        file = InputFile(path, path.name, known_format(path))
        file.make_seekable(None)
        self._reader: Reader = text_reader(file) if file.format.is_text else arrow_reader(file)
        self._schema = self._reader.schema()
        self._key = key
        self._damaged = damaged
        self._inner_schema: Any = None
        self.rows = 0
        """How many rows were opened."""
        if SEALED not in self._reader.names():
            raise ValueError(f"the rows of {path} are not sealed: it has no column {SEALED!r}")

    def write(self, stream: IO[bytes], form: Format) -> None:
        """Write the rows in a format.

        Raises:
            BatchError, OSError: The output cannot be read to its end, or the stream not written.
            ValueError: The format cannot hold a column.
        """
        groups = self._groups()
        first = next(groups, None)
        schema = self._plain(self._schema) if first is None or first[0] is None else first[0].schema
        columns = select_columns(None, schema.names, DEFAULT_FIELDS, DEFAULT_FIELDS)
        write = self._row_sink(stream, form, columns) if form.is_text else None
        if write is None:
            self._write_batches(stream, form, columns, schema, groups, first)
            return
        if first is not None:
            write(*first)
        for group in groups:
            write(*group)

    def _write_batches(
        self,
        stream: IO[bytes],
        form: Format,
        columns: Sequence[Column],
        schema: Any,
        groups: Iterator[Any],
        first: Any,
    ) -> None:
        writer = BatchWriter(columns, schema)
        check_types(form, writer.schema)
        with batch_sink(stream, form, writer.schema) as write:
            for batch, answers in () if first is None else (first,):
                write(writer.joined(batch, answers))
            for batch, answers in groups:
                write(writer.joined(batch, answers))

    @staticmethod
    def _row_sink(stream: IO[bytes], form: Format, columns: Sequence[Column]) -> Callable[[Any, Any], None]:
        write = row_writer(stream, form, columns, ())

        def put(batch: Any, answers: Sequence[Mapping[str, Any]]) -> None:
            records = repeat(Record({}), len(answers)) if batch is None else records_of(batch)
            for answer, record in zip(answers, records, strict=True):
                write(record.values, answer)

        return put

    def _groups(self) -> Iterator[tuple[Any, list[Mapping[str, Any]]]]:
        """Yield rows that could be opened, some at once: their columns of the input, and their answers."""
        number = 0
        for batch in self._reader.batches(self._schema):
            numbered = range(number + 1, number + 1 + batch.num_rows)
            number += batch.num_rows
            opened = list(map_ahead(self._open, zip(numbered, self._rows(batch), strict=True)))
            good = [row for row in map(self._alike, numbered, opened) if row is not None]
            if good:
                self.rows += len(good)
                yield joined([columns for columns, _ in good]), [answer for _, answer in good]

    def _alike(self, number: int, row: Opened | Damaged) -> Opened | None:
        """Report a row that is damaged, or has other columns than the first one."""
        if not isinstance(row, Damaged):
            self._inner_schema = self._inner_schema or row[0].schema
            if row[0].schema == self._inner_schema:
                return row
            row = Damaged(number, "its columns are not those of the other rows")
        self._damaged(row)
        return None

    def _rows(self, batch: Any) -> Iterator[tuple[Any, str | None, str | None]]:
        """Yield the rows of a batch: columns in clear, the sealed row, and the sealed columns."""
        plain = batch.select(self._plain(batch.schema).names)
        sealed = batch.column(batch.schema.get_field_index(SEALED)).to_pylist()
        names = batch.schema.names
        inner = batch.column(names.index(SEALED_INPUT)).to_pylist() if SEALED_INPUT in names else [None] * len(sealed)
        for place in range(batch.num_rows):
            yield plain.slice(place, 1), sealed[place], inner[place]

    def _open(self, numbered: tuple[int, tuple[Any, str | None, str | None]]) -> Opened | Damaged:
        number, (plain, sealed, inner) = numbered
        line = (sealed if isinstance(sealed, str) else "").encode() + b"\n"
        try:
            with open_row(line, self._key) as opened, opened.data as view:
                answer = answer_of(bytes(view))
            mark = read_mark(line)
            columns = plain if inner is None else open_columns(inner, 0 if mark is None else mark.line, self._key)
        except (SecurityError, ValueError) as error:
            return Damaged(number, str(error) if isinstance(error, SecurityError) else "it is not a whole row")
        return columns, answer

    @staticmethod
    def _plain(schema: Any) -> Any:
        for name in (SEALED, FAILED, SEALED_INPUT):
            place = schema.get_field_index(name)
            schema = schema if place < 0 else schema.remove(place)
        return schema
