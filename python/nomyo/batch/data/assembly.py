"""Joins the rows of an input with their answers, some rows at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import IO, Any, Final, cast

from nomyo.batch.data.answers import DEFAULT_FIELDS, FIELDS, SEALED_FIELDS, answer_of
from nomyo.batch.data.formats import JSONL, Format
from nomyo.batch.data.journal_rows import JournalRows
from nomyo.batch.data.libraries import library
from nomyo.batch.data.metadata import kept_metadata, shared_metadata
from nomyo.batch.data.options import DataOptions
from nomyo.batch.data.outputs import BatchWriter, batch_sink, row_writer
from nomyo.batch.data.records import MOST_ROWS, Reader
from nomyo.batch.data.sealed_columns import SEALED_INPUT, seal_columns
from nomyo.batch.data.selection import Column, select_columns
from nomyo.batch.data.text_files import JsonLines, names_in_json, schema_of_json
from nomyo.batch.sealed import Seal
from nomyo.errors import BatchError

_EMPTY: Final[dict[str, Any]] = {}


class Cancelled(Exception):  # noqa: N818 - an outcome, which no caller sees
    """Nobody needs the output any more."""


def columns_of(options: DataOptions, names: Sequence[str], *, sealed: bool) -> list[Column]:
    """Return the columns of an output; if the input's columns are to be sealed, these are among them.

    Raises:
        ValueError: A name is not there, or two columns would have the same one.
    """
    if not sealed:
        return select_columns(options.columns, names, FIELDS, DEFAULT_FIELDS)
    fields = (*SEALED_FIELDS, SEALED_INPUT) if options.seal_input_columns else SEALED_FIELDS
    return select_columns(options.columns, names, fields, fields)


def input_schema(readers: Sequence[Reader], options: DataOptions) -> Any:
    """Return the columns of an input; of requests in OpenAI's format, none. All JSON lines are read for that."""
    if not options.asks:
        return library("pyarrow").schema([])
    files = [reader for reader in readers if isinstance(reader, JsonLines)]
    if files:
        return schema_of_json(files)
    schemas = [reader.schema() for reader in readers]
    return schemas[0].with_metadata(shared_metadata(schemas))


class Assembly:
    """Rows beside their answers.

    Args:
        readers: The input, or a portion of it.
        rows: The journal, which has an answer for each row.
        options: Which columns the output has.
        seal: The key that the journal is sealed for; None if it is not.
        cancelled: Returns True if nobody needs the result any more; then `Cancelled` is raised.
        schema: The columns of the whole input; None if they are to be found.
        first: The number of the first row in the whole input.
        metadata: Of a file of Parquet or Arrow, beside what it keeps of the input's.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        rows: JournalRows | Mapping[int, bytes],
        options: DataOptions,
        seal: Seal | None,
        cancelled: Callable[[], bool],
        *,
        schema: Any = None,
        first: int = 1,
        metadata: Mapping[bytes, bytes] | None = None,
    ) -> None:
        self._readers = readers
        self._rows = rows
        self._options = options
        self._seal = seal
        self._cancelled = cancelled
        self._seals_input = seal is not None and options.seal_input_columns and options.asks
        self._known_schema = schema
        self._metadata = metadata or {}
        self._number = first - 1

    def write(self, stream: IO[bytes], form: Format) -> None:
        """Write all rows in a format.

        Raises:
            OSError: The disk is full or fails; a file of the input cannot be read.
            BatchError, ValueError: The input changed; the output cannot have the columns that it should.
        """
        if not form.is_text:
            self._write_batches(stream, form)
        elif not self._options.asks and form.kind == JSONL:
            for line in self._lines():
                stream.write(line)
        else:
            self._write_rows(stream, form)

    def table(self) -> Any:
        """Return all rows as a pyarrow table."""
        schema = self._schema()
        writer = BatchWriter(self._written_columns(schema), schema)
        return library("pyarrow").Table.from_batches([*self._joined(writer, schema)], writer.schema)

    def _write_batches(self, stream: IO[bytes], form: Format) -> None:
        schema = self._schema()
        writer = BatchWriter(self._written_columns(schema), schema)
        metadata = {**(writer.schema.metadata or {}), **self._metadata}
        with batch_sink(stream, form, writer.schema.with_metadata(metadata or None)) as write:
            for batch in self._joined(writer, schema):
                write(batch)

    def _joined(self, writer: BatchWriter, schema: Any) -> Iterator[Any]:
        if not self._options.asks:
            yield from self._answers_alone(writer)
            return
        for reader in self._readers:
            for batch in reader.batches(schema):
                yield writer.joined(batch, self._answers(batch))

    def _answers_alone(self, writer: BatchWriter) -> Iterator[Any]:
        answers = []
        for _ in self._requests():
            answers.append(self._answer())
            if len(answers) == MOST_ROWS:
                yield writer.joined(None, answers)
                answers = []
        yield writer.joined(None, answers)

    def _write_rows(self, stream: IO[bytes], form: Format) -> None:
        if self._seals_input:
            self._write_sealed_rows(stream, form)
            return
        as_they_come = form.kind == JSONL and self._options.columns is None and self._is_json
        columns = None if as_they_come else self._columns(self._names())
        default = DEFAULT_FIELDS if self._seal is None else SEALED_FIELDS
        write = row_writer(stream, form, columns, default)
        if not self._options.asks:
            for _ in self._requests():
                write(_EMPTY, self._answer())
            return
        for reader in self._readers:
            for record in reader.records():
                write(record.values, self._answer())

    def _write_sealed_rows(self, stream: IO[bytes], form: Format) -> None:
        schema = self._schema()
        write = row_writer(stream, form, self._written_columns(schema), ())
        for reader in self._readers:
            for batch in reader.batches(schema):
                for answer in self._answers(batch):
                    write(_EMPTY, answer)

    def _answers(self, batch: Any) -> list[dict[str, Any]]:
        """Return the answers to the rows of a batch, with the sealed columns of the input, if they are to be sealed."""
        sealed: list[str] = []
        if self._seals_input:
            assert self._seal is not None
            chosen = [each for each in self._columns(batch.schema.names) if not each.from_answer]
            inner = batch.select([each.of for each in chosen]).rename_columns([each.name for each in chosen])
            inner = inner.replace_schema_metadata(kept_metadata(batch.schema.metadata, chosen))
            sealed = seal_columns(inner, self._number + 1, self._seal)
        answers = [self._answer() for _ in range(batch.num_rows)]
        for answer, package in zip(answers, sealed, strict=False):
            answer[SEALED_INPUT] = package
        return answers

    def _written_columns(self, schema: Any) -> list[Column]:
        """Return the columns that are written; those of the input are not, if they are sealed."""
        columns = self._columns(schema.names)
        if not self._seals_input:
            return columns
        return [Column(name, name, True) for name in (*SEALED_FIELDS, SEALED_INPUT)]

    def _columns(self, names: Sequence[str]) -> list[Column]:
        fault = ""
        try:
            return columns_of(self._options, names, sealed=self._seal is not None)
        except ValueError as error:  # of names that only the last rows of JSON lines have
            fault = str(error)
        raise BatchError(fault)

    def _schema(self) -> Any:
        if self._known_schema is not None:
            return self._known_schema
        return input_schema(self._readers, self._options)

    def _names(self) -> Sequence[str]:
        """Return the names of the input's columns. Files of lines need no pyarrow for them."""
        if not self._options.asks:
            return ()
        files = [reader for reader in self._readers if isinstance(reader, JsonLines)]
        return names_in_json(files) if files else self._readers[0].names()

    @property
    def _is_json(self) -> bool:
        return isinstance(self._readers[0], JsonLines)

    def _requests(self) -> Iterator[object]:
        """Yield something for each request in OpenAI's format."""
        for reader in self._readers:
            yield from cast("JsonLines", reader).lines()

    def _lines(self) -> Iterator[bytes]:
        for _ in self._requests():
            yield self._next_row()

    def _answer(self) -> dict[str, Any]:
        return answer_of(self._next_row())

    def _next_row(self) -> bytes:
        if self._number % MOST_ROWS == 0 and self._cancelled():
            raise Cancelled
        self._number += 1
        return self._rows[self._number]
