"""Reads Parquet and Arrow IPC files, some rows at once.

Arrow's own errors may show content, so none of their words are repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, BinaryIO, Final

from nomyo.batch.data.compressed import DamagedFileError
from nomyo.batch.data.files import InputFile
from nomyo.batch.data.formats import PARQUET
from nomyo.batch.data.libraries import library
from nomyo.batch.data.records import NAME_NOT_UTF8, TARGET_BYTES, Record, names_of, rows_at_once
from nomyo.batch.data.repeated_cells import largest_in, largest_stored
from nomyo.batch.data.scalars import UNFIT, scalar_value

_MAGIC: Final = b"ARROW1"
_BUFFER_BYTES: Final = 1 << 20
_MOST_REPEATED_BYTES: Final = 64 << 20
"""What rows of Parquet that are read at once may hold if all have the largest text of their dictionary: 64 rows, for
dictionaries of the usual size."""


def arrow_reader(file: InputFile) -> ParquetFile | ArrowFile:
    """Return the reader for a file in one of Arrow's formats."""
    return ParquetFile(file) if file.format.kind == PARQUET else ArrowFile(file)


class _Batches:
    """What all readers of record batches have in common."""

    name: str

    def schema(self) -> Any:
        raise NotImplementedError

    def _read(self, columns: Collection[str] | None) -> Iterator[Any]:
        raise NotImplementedError

    def names(self) -> list[str]:
        """Return the names of the columns."""
        return names_of(self.schema(), self.name)

    def records(self, columns: Collection[str] | None = None) -> Iterator[Record]:
        """Yield all rows."""
        for batch in self._read(columns):
            yield from records_of(batch)

    def batches(self, schema: Any) -> Iterator[Any]:
        """Yield all rows as record batches."""
        for batch in self._read(None):
            yield batch.select(schema.names)


class ParquetFile(_Batches):
    """A Parquet file."""

    def __init__(self, file: InputFile) -> None:
        self._file = file
        self.name = file.name

    def schema(self) -> Any:
        """Return the schema."""
        with self._opened() as parquet:
            return parquet.schema_arrow

    def count(self) -> int:
        """Return the number of rows, which the end of the file has."""
        with self._opened() as parquet:
            return int(parquet.metadata.num_rows)

    def _read(self, columns: Collection[str] | None) -> Iterator[Any]:
        with self._file.opened() as file, _whole(self.name, PARQUET):
            parquet = self._parquet(file)
            wanted = None if columns is None else [name for name in parquet.schema_arrow.names if name in columns]
            for number in range(parquet.num_row_groups):
                group = parquet.metadata.row_group(number)
                rows = rows_at_once(group.total_byte_size, group.num_rows)
                rows = min(rows, max(1, _MOST_REPEATED_BYTES // max(largest_stored(group, file, columns), 1)))
                for batch in parquet.iter_batches(rows, [number], wanted, use_threads=False):
                    yield from slices(batch)

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        with self._file.opened() as file, _whole(self.name, PARQUET):
            yield self._parquet(file)

    def _parquet(self, file: BinaryIO) -> Any:
        try:
            return library("pyarrow.parquet").ParquetFile(file, buffer_size=_BUFFER_BYTES)
        except UnicodeDecodeError:  # it reads all names at once
            pass
        raise DamagedFileError(NAME_NOT_UTF8.format(self.name))


class ArrowFile(_Batches):
    """A file or a stream of Arrow IPC, which its first bytes tell apart."""

    def __init__(self, file: InputFile) -> None:
        self._file = file
        self.name = file.name

    def schema(self) -> Any:
        """Return the schema."""
        with self._opened() as source:
            return _reader(source).schema

    def count(self) -> int:
        """Read the file; return the number of rows."""
        return sum(batch.num_rows for batch in self._file.until_cancelled(self._read(None)))

    def _read(self, columns: Collection[str] | None) -> Iterator[Any]:
        with self._opened() as source:
            reader = _reader(source)
            if hasattr(reader, "num_record_batches"):
                batches = map(reader.get_batch, range(reader.num_record_batches))
            else:
                batches = iter(reader)
            for batch in batches:
                self._check(batch)
                yield from slices(batch if columns is None else select(batch, columns))

    def _check(self, batch: Any) -> None:
        """Refuse a batch that points beyond its own memory; texts that are not UTF-8 are the fault of their rows."""
        pa = library("pyarrow")
        for column in batch.columns:
            is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
            as_bytes = pa.large_binary() if pa.types.is_large_string(column.type) else pa.binary()
            (column.view(as_bytes) if is_text else column).validate(full=True)

    @contextmanager
    def _opened(self) -> Iterator[BinaryIO]:
        with self._file.opened() as file, _whole(self.name, "Arrow IPC"):
            yield file


def _reader(file: BinaryIO) -> Any:
    """Return pyarrow's reader for a file or a stream."""
    ipc = library("pyarrow.ipc")
    magic = file.read(len(_MAGIC))
    file.seek(0)
    return ipc.open_file(file) if magic == _MAGIC else ipc.open_stream(file)


@contextmanager
def _whole(name: str, kind: str) -> Iterator[None]:
    """Say in words of our own that a file cannot be read."""
    pa = library("pyarrow")
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
    else:
        return
    raise DamagedFileError(f"{name} is cut short or damaged: it cannot be read as {kind}")


def slices(batch: Any) -> Iterator[Any]:
    """Yield a batch in parts of a bounded size."""
    rows = rows_at_once(batch.nbytes, batch.num_rows)
    rows = min(rows, max(1, TARGET_BYTES // max(largest_in(batch), 1)))
    for start in range(0, batch.num_rows, rows):
        yield batch.slice(start, rows)


def joined(batches: Sequence[Any]) -> Any:
    """Return batches of the same schema as one; None if they have no column."""
    if not batches[0].num_columns:
        return None
    [batch] = library("pyarrow").Table.from_batches(batches).combine_chunks().to_batches()
    return batch


def select(batch: Any, columns: Collection[str]) -> Any:
    """Return a batch with some of its columns, in the batch's order."""
    return batch.select([name for name in batch.schema.names if name in columns])


def records_of(batch: Any) -> Iterator[Record]:
    """Yield the rows of a batch."""
    columns = {name: _values(batch.column(number)) for number, name in enumerate(batch.schema.names)}
    for number in range(batch.num_rows):
        yield Record({name: values[number] for name, values in columns.items()})


def _values(column: Any) -> list[Any]:
    try:
        values: list[Any] = column.to_pylist()
    except UNFIT:
        return [scalar_value(scalar) for scalar in column]
    return values
