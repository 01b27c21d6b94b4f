"""Writes rows with their answers, in each format. A file appears, or is replaced, in one step when it is complete."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Protocol

from nomyo._files.new_files import created, rewritten
from nomyo._finite_json import utf8_json
from nomyo.batch.data.answers import types_of
from nomyo.batch.data.compressed import compressing
from nomyo.batch.data.files import STREAM
from nomyo.batch.data.formats import CSV, JSONL, PARQUET, TSV, Format
from nomyo.batch.data.libraries import library
from nomyo.batch.data.metadata import kept_metadata
from nomyo.batch.data.plain_values import cell, json_value
from nomyo.batch.data.selection import Column
from nomyo.errors import BatchError

_GROUP_BYTES: Final = 32 << 20
_GROUP_ROWS: Final = 100_000

_MOST_WORDS: Final = 100
_WHAT_TO_DO: Final = "give the output another format, or leave the column out (columns)"

Values = Mapping[str, Any]


class RowWriter(Protocol):
    """Writes rows one by one."""

    def __call__(self, values: Values, answer: Values) -> None:
        """Write a row: its columns of the input, and those of its answer."""


@contextmanager
def output_stream(path: Path, form: Format, *, exists: bool) -> Iterator[IO[bytes]]:
    """Yield a stream for an output that has its name only if the block ends without an error.

    Args:
        path: The output.
        form: Its format.
        exists: Whether an earlier run wrote it, so that it is replaced.

    Raises:
        FileExistsError: Something with this name appeared meanwhile.
        OSError: The disk is full or fails. The output is as it was.
        ValueError: It is stdout, and there is none.
    """
    if path == STREAM:
        yield stdout_stream()
        return
    with (rewritten if exists else created)(path) as descriptor, compressing(descriptor, form.compression) as stream:
        yield stream


def stdout_stream() -> BinaryIO:
    """Return stdout as a stream of bytes.

    Raises:
        ValueError: There is none.
    """
    if sys.stdout is None:
        raise ValueError("there is no stdout: it was closed before the start")
    return sys.stdout.buffer


def json_lines_writer(stream: IO[bytes], columns: Sequence[Column] | None, fields: Sequence[str]) -> RowWriter:
    """Return a writer of JSON lines.

    Args:
        stream: Where they are written.
        columns: The columns of each row; None for all that the row itself has, and the answer's.
        fields: The answer's columns, if `columns` is None.
    """

    def write(values: Values, answer: Values) -> None:
        row = _chosen(columns, values, answer) if columns is not None else _joined(values, answer, fields)
        stream.write(utf8_json(json_value(row)) + b"\n")

    return write


def separated_writer(stream: IO[bytes], columns: Sequence[Column], kind: str) -> RowWriter:
    """Return a writer of CSV or TSV, which writes the header at once."""
    text = io.StringIO(newline="")
    rows = csv.writer(text, delimiter="\t" if kind == TSV else ",", lineterminator="\n")

    def put(cells: list[str]) -> None:
        rows.writerow(cells)
        stream.write(text.getvalue().encode())
        text.seek(0)
        text.truncate()

    put([column.name for column in columns])
    return lambda values, answer: put([cell(each) for each in _chosen(columns, values, answer).values()])


def _chosen(columns: Sequence[Column], values: Values, answer: Values) -> dict[str, Any]:
    return {each.name: (answer if each.from_answer else values).get(each.of) for each in columns}


def _joined(values: Values, answer: Values, fields: Sequence[str]) -> dict[str, Any]:
    taken = [name for name in fields if name in values and name != "custom_id"]
    if taken:
        raise BatchError(
            f"columns: a row has a column {taken[0]!r} of its own: name what the output shall have, as in"
            f" 'question,reply=answer.{taken[0]}'"
        )
    return {**values, **{name: answer.get(name) for name in fields if name not in values}}


class BatchWriter:
    """Joins record batches with their answers, for Parquet and Arrow.

    Args:
        columns: The columns of the output.
        schema: The schema of the input.
    """

    def __init__(self, columns: Sequence[Column], schema: Any) -> None:
        pa = library("pyarrow")
        self._columns = columns
        self._of_answer = [each.of for each in columns if each.from_answer]
        types = dict(zip(self._of_answer, types_of(self._of_answer), strict=True))
        self.schema = pa.schema(
            [
                pa.field(each.name, types[each.of])
                if each.from_answer
                else schema.field(each.of).with_name(each.name).with_nullable(True)  # files may differ in that
                for each in columns
            ],
            kept_metadata(schema.metadata, columns),
        )

    def joined(self, batch: Any, answers: Sequence[Values]) -> Any:
        """Return a batch with the columns of the output."""
        pa = library("pyarrow")
        arrays = []
        for each, field in zip(self._columns, self.schema, strict=True):
            if each.from_answer:
                arrays.append(pa.array([answer.get(each.of) for answer in answers], field.type))
            else:
                arrays.append(batch.column(batch.schema.get_field_index(each.of)))
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


@contextmanager
def batch_sink(stream: IO[bytes], form: Format, schema: Any) -> Iterator[Callable[[Any], None]]:
    """Yield a function that writes record batches as Parquet or Arrow IPC.

    Raises:
        BatchError: In the block: a column has a value that the format cannot hold.
    """
    with _raw_sink(stream, form, schema, partial(_in_own_words, form)) as write:
        yield write


@contextmanager
def _raw_sink(
    stream: IO[bytes], form: Format, schema: Any, wrap: Callable[[Callable[[Any], None]], Callable[[Any], None]]
) -> Iterator[Callable[[Any], None]]:
    if form.kind == PARQUET:
        with library("pyarrow.parquet").ParquetWriter(stream, schema, compression="zstd") as writer:
            groups = _Groups(schema, wrap(writer.write_table))
            yield groups.add
            groups.write()
        return
    ipc = library("pyarrow.ipc")
    if form.is_stream:
        with ipc.new_stream(stream, schema) as writer:
            yield wrap(writer.write_batch)
        return
    plain = _without_dictionaries(schema)
    with ipc.new_file(stream, plain) as writer:
        yield wrap(lambda batch: writer.write_batch(batch if plain == schema else batch.cast(plain)))


def _in_own_words(form: Format, write: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a function that writes rows, and whose error names the column. Arrow's own words may show cells."""
    pa = library("pyarrow")

    def call(rows: Any) -> None:
        try:
            write(rows)
            return
        except pa.ArrowException:
            pass
        table = rows if isinstance(rows, pa.Table) else pa.table(rows)
        unfit = next((name for name in table.column_names if not _can_write(form, table.select([name]))), None)
        named = "the output" if unfit is None else f"the column {unfit!r} ({_short(table.schema.field(unfit).type)})"
        raise BatchError(f"{named} has values that {form.kind} cannot hold: {_WHAT_TO_DO}")

    return call


def _can_write(form: Format, table: Any) -> bool:
    pa = library("pyarrow")
    try:
        with _raw_sink(io.BytesIO(), form, table.schema, lambda write: write) as write:
            for batch in table.to_batches():
                write(batch)
    except (pa.ArrowException, OSError):
        return False
    return True


def check_types(form: Format, schema: Any) -> None:
    """Refuse a column whose type a format cannot hold, by writing a null of each to memory.

    Raises:
        ValueError: There is one; the message names it, its type, and what to do.
    """
    for each in () if form.is_text else schema:
        if not _can_write(form, _sample(each)):
            found = _short(each.type)
            raise ValueError(f"{form.kind} has no type for the column {each.name!r}, which is {found}: {_WHAT_TO_DO}")


def _sample(field: Any) -> Any:
    """Return a table of one column and one null, or without rows if a part of the column must not be null."""
    pa = library("pyarrow")
    rows = 0 if _has_required_part(field.type) else 1
    return pa.table([pa.nulls(rows, field.type)], schema=pa.schema([field]))


def _has_required_part(found: Any) -> bool:
    parts = [found.field(place) for place in range(found.num_fields)]
    return any(not each.nullable or _has_required_part(each.type) for each in parts)


def _short(found: Any) -> str:
    """Return a type in words, cut: a type may have the names of a thousand fields."""
    words = str(found)
    return words if len(words) <= _MOST_WORDS else f"{words[:_MOST_WORDS]}..."


def _without_dictionaries(schema: Any) -> Any:
    """Return a schema with values in place of dictionaries: a file of Arrow has one a column, batches more."""
    for place, each in enumerate(schema):
        if _has_dictionary(each.type):
            schema = schema.set(place, _of_values(each))
    return schema


def _has_dictionary(found: Any) -> bool:
    parts = (found.field(place).type for place in range(found.num_fields))
    return bool(library("pyarrow").types.is_dictionary(found)) or any(map(_has_dictionary, parts))


def _of_values(field: Any) -> Any:
    """Return a field with values in place of dictionaries; those within rarer types stay."""
    pa = library("pyarrow")
    found = field.type
    if pa.types.is_dictionary(found):
        return _of_values(field.with_type(found.value_type))
    if pa.types.is_struct(found):
        return field.with_type(pa.struct([_of_values(found.field(place)) for place in range(found.num_fields)]))
    if pa.types.is_map(found):
        key, item = _of_values(found.key_field), _of_values(found.item_field)
        return field.with_type(pa.map_(key, item, found.keys_sorted))
    for is_such, make in ((pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list)):
        if is_such(found):
            return field.with_type(make(_of_values(found.value_field)))
    return field


class _Groups:
    """Gathers record batches for a row group of Parquet."""

    def __init__(self, schema: Any, write: Callable[[Any], None]) -> None:
        self._schema = schema
        self._write = write
        self._batches: list[Any] = []
        self._size_bytes = self._rows = 0

    def add(self, batch: Any) -> None:
        self._batches.append(batch)
        self._size_bytes += batch.nbytes
        self._rows += batch.num_rows
        if self._size_bytes >= _GROUP_BYTES or self._rows >= _GROUP_ROWS:
            self.write()

    def write(self) -> None:
        if self._batches:
            self._write(library("pyarrow").Table.from_batches(self._batches, self._schema))
        self._batches, self._size_bytes, self._rows = [], 0, 0


def row_writer(stream: IO[bytes], form: Format, columns: Sequence[Column] | None, fields: Sequence[str]) -> RowWriter:
    """Return the writer for a format of lines."""
    if form.kind == JSONL:
        return json_lines_writer(stream, columns, fields)
    assert form.kind in (CSV, TSV)
    assert columns is not None
    return separated_writer(stream, columns, form.kind)
