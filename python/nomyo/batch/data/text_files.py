"""Reads CSV, TSV and JSON lines, row by row. A row that cannot be read is a row with a fault, and the others follow.

All cells of CSV are text, as they stand in the file: no type is guessed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, BinaryIO, Final

from nomyo._finite_json import text_json
from nomyo._plurals import counted
from nomyo._unique_json import parse_unique_json
from nomyo.batch.data.compressed import DamagedFileError
from nomyo.batch.data.files import InputFile
from nomyo.batch.data.formats import JSONL, TSV
from nomyo.batch.data.libraries import library
from nomyo.batch.data.plain_values import parsed_json, utf8_text
from nomyo.batch.data.records import MOST_ROWS, SAME_NAME, TARGET_BYTES, Record, cut_name, repeated_name
from nomyo.batch.input_lines import MAX_LINE_BYTES, NumberedLines
from nomyo.batch.records import BOM

_ROWS_FOR_NAMES: Final = 100
_CELL_BYTES: Final = 64
"""About what a cell takes in memory beside its text."""
_MOST_LEVELS: Final = 32
"""Of a type. Arrow's files hold 64 (`IpcWriteOptions`), Parquet's some 50."""


def text_reader(file: InputFile) -> JsonLines | SeparatedValues:
    """Return the reader for a file of lines."""
    return JsonLines(file) if file.format.kind == JSONL else SeparatedValues(file)


class JsonLines:
    """A file with a JSON object on each line."""

    def __init__(self, file: InputFile) -> None:
        self._file = file
        self.name = file.name

    def lines(self) -> Iterator[bytes | None]:
        """Yield the lines that are not blank; None for one that is too long."""
        with self._file.content() as content:
            for number, line in NumberedLines(content):
                yield line.removeprefix(BOM) if line is not None and number == 1 else line

    def names(self) -> list[str]:
        """Return the names that the first hundred rows have."""
        return first_names([self]) or []

    def count(self) -> int:
        """Return the number of lines that are not blank."""
        return sum(1 for _ in self._file.until_cancelled(self.lines()))

    def records(self, columns: Collection[str] | None = None) -> Iterator[Record]:
        """Yield all rows."""
        return map(_record, self.lines())

    def schema(self) -> Any:
        """Read all rows; return the narrowest types that hold them. A column that no type holds is JSON text."""
        return schema_of_json([self])

    def batches(self, schema: Any) -> Iterator[Any]:
        """Yield all rows as record batches."""
        return batches_of(self.records(), schema)


def first_names(files: Sequence[JsonLines]) -> list[str] | None:
    """Return the names that the first hundred rows of some files have; None if the files have no row."""
    rows = list(islice(chain.from_iterable(file.records() for file in files), _ROWS_FOR_NAMES))
    return list(dict.fromkeys(name for row in rows for name in row.values)) if rows else None


def names_in_json(files: Sequence[JsonLines]) -> list[str]:
    """Read all rows of some files; return the names that they have, in the order in which they first come."""
    return list(dict.fromkeys(name for file in files for record in file.records() for name in record.values))


def schema_of_json(files: Sequence[JsonLines]) -> Any:
    """Read all rows of some files; return the narrowest types that hold them, or text for a column that none holds."""
    types: dict[str, Any] = {}
    widened: set[str] = set()
    for rows in _all_groups(files):
        for name in dict.fromkeys(name for row in rows for name in row):
            found = _wider(types.get(name), [row.get(name) for row in rows])
            if found != types.setdefault(name, found):
                widened.add(name)
            types[name] = found
    for rows in _all_groups(files) if widened else ():  # of the rows before, not all need fit: 2**60 is no float
        for name in widened:
            types[name] = _wider(types[name], [row.get(name) for row in rows])
    pa = library("pyarrow")
    return pa.schema([(name, _storable(found)) for name, found in types.items()])


def _all_groups(files: Sequence[JsonLines]) -> Iterator[list[Mapping[str, Any]]]:
    return _groups(record for file in files for record in file.records())


class SeparatedValues:
    """A file of CSV or TSV whose first row has the names of the columns."""

    def __init__(self, file: InputFile) -> None:
        self._file = file
        self._delimiter = "\t" if file.format.kind == TSV else ","
        self.name = file.name

    def names(self) -> list[str]:
        """Return the cells of the first row."""
        with self._rows() as rows:
            return self._header(rows)

    def count(self) -> int:
        """Return the number of rows below the header."""
        return sum(1 for _ in self._file.until_cancelled(self.records()))

    def schema(self) -> Any:
        """Return a schema in which everything is text."""
        pa = library("pyarrow")
        return pa.schema([(name, pa.string()) for name in self.names()])

    def records(self, columns: Collection[str] | None = None) -> Iterator[Record]:
        """Yield all rows."""
        with self._rows() as rows:
            names = self._header(rows)
            for row in rows:
                yield row if isinstance(row, Record) else _named(names, row)

    def batches(self, schema: Any) -> Iterator[Any]:
        """Yield all rows as record batches."""
        return batches_of(self.records(), schema)

    def _header(self, rows: Iterator[list[str] | Record]) -> list[str]:
        names = next(rows, [])
        if isinstance(names, Record) or any(_is_no_text(name) for name in names):
            raise DamagedFileError(
                f"the first row of {self.name} is not {self._file.format.kind}: it must name the columns"
            )
        if (repeated := repeated_name(names)) is not None:
            raise DamagedFileError(SAME_NAME.format(self.name, cut_name(repeated)))
        return names

    @contextmanager
    def _rows(self) -> Iterator[Iterator[list[str] | Record]]:
        with self._file.content() as content:
            yield self._parsed(content)

    def _parsed(self, content: BinaryIO) -> Iterator[list[str] | Record]:
        """Yield the rows that are not blank; in place of one that is not CSV, a record with its fault."""
        # Of the whole process, and 128 KiB by default. It is only ever raised.
        csv.field_size_limit(max(csv.field_size_limit(), MAX_LINE_BYTES))
        lines = _TextLines(content, self.name)
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        number = 0
        while True:
            number += 1
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error:
                if lines.ended:
                    where = "the header" if number == 1 else f"row {number - 1:,}"
                    raise DamagedFileError(f"{self.name}: the quotes of {where} are never closed") from None
                yield Record({}, "the row is not CSV: a quotation mark stands where none may stand")
                continue
            if row:
                yield row


class _TextLines:
    """Lines of a file as text, with surrogates for what is not UTF-8, as `csv.reader` takes them."""

    def __init__(self, content: BinaryIO, name: str) -> None:
        self._text = io.TextIOWrapper(content, "utf-8-sig", "surrogateescape", newline="")
        self._name = name
        self.ended = False

    def __iter__(self) -> _TextLines:
        return self

    def __next__(self) -> str:
        line = self._text.readline(MAX_LINE_BYTES)
        if len(line) == MAX_LINE_BYTES:
            raise DamagedFileError(f"{self._name} has a line that is too long")
        if not line:
            self.ended = True
            self._text.detach()  # else it would close the file
            raise StopIteration
        return line


def _is_no_text(cell: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in cell) if not cell.isascii() else False


def _named(names: list[str], cells: list[str]) -> Record:
    if any(map(_is_no_text, cells)):
        return Record(dict(zip(names, map(utf8_text, cells), strict=False)), "the row is not UTF-8")
    values = dict(zip(names, cells, strict=False))
    if len(cells) != len(names):
        return Record(values, f"the row has {counted(len(cells), 'cell')}, and the header {len(names)}")
    return Record(values)


def _record(line: bytes | None) -> Record:
    if line is None:
        return Record({}, "the line is too long")
    row = parsed_json(line, parse_unique_json)
    if isinstance(row, str):
        return Record({}, row)
    if not isinstance(row, dict):
        return Record({}, "the line is not a JSON object")
    if any(map(_is_no_text, row)):
        fit = {name: value for name, value in row.items() if not _is_no_text(name)}
        return Record(fit, "the line has a name with half of a surrogate pair, which is not UTF-8")
    return Record(row)


def _groups(records: Iterable[Record]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the values of some rows at once, fewer if they are large."""
    rows: list[Mapping[str, Any]] = []
    size_bytes = 0
    for record in records:
        rows.append(record.values)
        size_bytes += _CELL_BYTES * len(record.values)
        size_bytes += sum(len(each) for each in record.values.values() if isinstance(each, str))
        if len(rows) == MOST_ROWS or size_bytes > TARGET_BYTES:
            yield rows
            rows, size_bytes = [], 0
    if rows:
        yield rows


def batches_of(records: Iterable[Record], schema: Any) -> Iterator[Any]:
    """Yield rows as record batches."""
    pa = library("pyarrow")
    for rows in _groups(records):
        arrays = [_array(pa, [row.get(each.name) for row in rows], each.type) for each in schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(pa: Any, values: list[Any], wanted: Any) -> Any:
    """Return values as an array; in a column of text, what is no text becomes JSON."""
    if pa.types.is_string(wanted):
        values = [None if each is None else _text(each) for each in values]
    return pa.array(values, wanted)


def _text(value: Any) -> str:
    return utf8_text(value) if isinstance(value, str) else text_json(value)


def _wider(known: Any, values: list[Any]) -> Any:
    """Return a type that holds a column's values and those before them; text if none does."""
    pa = library("pyarrow")
    try:
        found = pa.infer_type(values)
        if known is None or known == found:
            pa.array(values, found)
            return found
        one, other = pa.schema([("c", known)]), pa.schema([("c", found)])
        wider = pa.unify_schemas([one, other], promote_options="permissive").field(0).type
        pa.array(values, wider)
    except (pa.ArrowException, OverflowError, UnicodeError):  # their words may show content
        return pa.string()
    return wider


def _storable(found: Any) -> Any:
    """Return text for what not every format has types for: nothing, an empty object, very many levels."""
    pa = library("pyarrow")
    unfit = pa.types.is_null(found) or _has_empty_struct(found) or _levels(found) > _MOST_LEVELS
    return pa.string() if unfit else found


def _levels(found: Any) -> int:
    return 1 + max((_levels(found.field(place).type) for place in range(found.num_fields)), default=0)


def _has_empty_struct(found: Any) -> bool:
    parts = [found.field(place).type for place in range(found.num_fields)]
    return any(map(_has_empty_struct, parts)) or (library("pyarrow").types.is_struct(found) and not parts)
