"""Reads what a program has in memory: a pyarrow table, or anything that speaks the Arrow C stream."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from nomyo.batch.data.arrow_files import records_of, select, slices
from nomyo.batch.data.libraries import library
from nomyo.batch.data.records import Record, names_of

_STREAM: Final = "__arrow_c_stream__"


class TableReader:
    """A table in memory."""

    def __init__(self, table: Any) -> None:
        self._table = table
        self.name = "the table"

    def names(self) -> list[str]:
        """Return the names of the columns."""
        return names_of(self._table.schema, self.name)

    def schema(self) -> Any:
        """Return the schema."""
        return self._table.schema

    def count(self) -> int:
        """Return the number of rows."""
        return int(self._table.num_rows)

    def records(self, columns: Collection[str] | None = None) -> Iterator[Record]:
        """Yield all rows."""
        for batch in self._table.to_batches():
            for part in slices(batch if columns is None else select(batch, columns)):
                yield from records_of(part)

    def batches(self, schema: Any) -> Iterator[Any]:
        """Yield all rows as record batches."""
        for batch in self._table.to_batches():
            yield from slices(batch.select(schema.names))


def is_path(given: object) -> bool:
    """Return whether an input is a path."""
    return isinstance(given, (str, os.PathLike, Path))


def table_of(given: Any) -> Any:
    """Return a table for what a program has: itself, or what it streams, once.

    Raises:
        TypeError: It is neither a path nor a table.
    """
    pa = library("pyarrow")
    if isinstance(given, pa.Table):
        return given
    if hasattr(given, _STREAM):
        return _streamed(given)
    datasets = sys.modules.get("pyarrow.dataset")  # whoever has one of these has imported it
    if datasets is not None and isinstance(given, datasets.Dataset | datasets.Scanner):
        return given.to_table()
    if hasattr(given, "with_format") and hasattr(given, "num_rows") and not isinstance(given, Mapping):
        # A data set of Hugging Face, which has no stream. Its table is mapped from the disk, unless rows were selected.
        table = given.with_format("arrow")[:]
        if isinstance(table, pa.Table):
            return table
    raise TypeError(_wanted(given, ""))


def _streamed(given: Any) -> Any:
    """Return what streams as a table. A single column streams, too, and frames may hold what Arrow has no type for."""
    pa = library("pyarrow")
    try:
        return pa.RecordBatchReader.from_stream(given).read_all()
    except (pa.ArrowException, TypeError, ValueError) as error:  # its words may show content
        fault = type(error).__name__
    raise TypeError(_wanted(given, f", which does not stream a whole table with columns ({fault})"))


def _wanted(given: object, fault: str) -> str:
    if type(given).__module__.startswith("ray.data."):
        return (
            "a Dataset of Ray is in the memory of a cluster: write it with write_parquet(FOLDER), and give that; or, if"
            " this machine's memory holds it, give pyarrow.concat_tables(ray.get(dataset.to_arrow_refs()))"
        )
    return (
        f"the input must be a path, or a table that speaks the Arrow C stream ({_STREAM}), as those of pyarrow, polars,"
        " pandas and DuckDB do, or a Dataset of pyarrow or Hugging Face; it is"
        f" {type(given).__module__}.{type(given).__qualname__}{fault}. pyarrow.table({{'name': values}}) and"
        " pyarrow.Table.from_pylist(rows) make a table"
    )
