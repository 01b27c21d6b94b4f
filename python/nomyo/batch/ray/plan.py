"""The input and the output of a job, as the driver sees them: requests in OpenAI's format, or tables."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from nomyo._checks import check_int
from nomyo.batch.data.assembly import columns_of, input_schema
from nomyo.batch.data.files import STREAM, would_take
from nomyo.batch.data.formats import PARQUET, Format
from nomyo.batch.data.options import DataOptions
from nomyo.batch.data.outputs import BatchWriter, check_types
from nomyo.batch.data.source import DataSource, needs_data, source_of
from nomyo.batch.data.tables import is_path
from nomyo.batch.header import Header
from nomyo.batch.input_lines import Survey, open_input
from nomyo.batch.ray.line_dataset import ROWS_PER_BLOCK
from nomyo.batch.ray.output import OutputFolder
from nomyo.batch.ray.part_source import LineSource, PartSource
from nomyo.batch.ray.parts import MAX_PART_BYTES, Part, cut
from nomyo.batch.ray.table_folder import TableFolder
from nomyo.batch.ray.table_source import TableSource, wanted_of, write_job, write_table
from nomyo.batch.sealed import Seal

TABLE_ROWS_PER_PART: Final = 1024
_TABLE: Final = "the table"


class Plan(Protocol):
    """An input that was read once, cut into parts, and an output."""

    survey: Survey
    parts: list[Part]
    rows_per_part: int
    journals: Path
    """The folder with the journals of the parts."""
    source: PartSource

    def opened(self, header: Header) -> AbstractContextManager[Any]:
        """Make the output, or check that it is this job's, and lock it.

        Raises:
            BatchError: It belongs to another batch, holds something else, or another job uses it.
            OSError: It cannot be made or written.
        """

    def begin(self) -> None:
        """Record that something is left to be done."""

    def end(self, rows: int, failed: int) -> None:
        """Record that all is done."""


def plan_of(
    given: Any, folder: Path, data: DataOptions | None, rows_per_part: int | None, seal: Seal | None, *, locked: bool
) -> Plan:
    """Return the plan for what a caller gave.

    Args:
        given: A path, or a table.
        folder: The output.
        data: What each row asks; None for requests in OpenAI's format.
        rows_per_part: Rows of one part; None for the usual number.
        seal: The key to seal for; None if rows are not sealed.
        locked: Whether sealing needs locked memory.

    Raises:
        ValueError, TypeError, BatchError, OSError: The input cannot be used.
    """
    if rows_per_part is not None:
        check_int("rows_per_part", rows_per_part, 1)
    if data is None and is_path(given) and not needs_data(Path(given), Path(given)):
        return _LinePlan(Path(given).absolute(), folder, rows_per_part or ROWS_PER_BLOCK)
    return _TablePlan(given, folder, data or DataOptions(), rows_per_part or TABLE_ROWS_PER_PART, seal, locked=locked)


class _LinePlan:
    """A file of requests; the journals are the output."""

    def __init__(self, path: Path, folder: Path, rows_per_part: int) -> None:
        with open_input(path) as file:
            self.survey, self.parts = cut(file, rows_per_part)
        self.rows_per_part = rows_per_part
        self.journals = folder
        self.source: PartSource = LineSource(os.fspath(path))

    def opened(self, header: Header) -> AbstractContextManager[Any]:
        return OutputFolder(self.journals, header)

    def begin(self) -> None:
        """Do nothing."""

    def end(self, rows: int, failed: int) -> None:
        """Do nothing."""


class _TablePlan:
    """Tables; the output has files of Parquet beside the journals."""

    def __init__(
        self, given: Any, folder: Path, options: DataOptions, rows_per_part: int, seal: Seal | None, *, locked: bool
    ) -> None:
        self._options = options
        self._folder = TableFolder(folder)
        self._input = _input_of(given, options)
        self._input.check_sealing(sealed=seal is not None)
        self._input.check_input()
        self._refuse_own_files()
        self.survey = self._input.open(lambda: False)
        with closing(self._input):
            self._schema = input_schema(self._input.readers, options)
            columns = columns_of(options, self._schema.names, sealed=seal is not None)
            if not options.seal_input_columns:
                check_types(Format(PARQUET), BatchWriter(columns, self._schema).schema)
        self.rows_per_part = rows_per_part
        self.parts = _parts(self.survey, rows_per_part)
        self.journals = self._folder.journals
        pem = None if seal is None else seal.pem
        self.source: PartSource = TableSource(os.fspath(folder), wanted_of(options), pem, locked)

    def _refuse_own_files(self) -> None:
        own = Path(os.path.realpath(self._folder.path))
        for file in self._input.paths:
            if own in Path(os.path.realpath(file)).parents:
                raise ValueError(f"the input must not lie in the output, as {file} does")
        path, folder = self._input.path, self._folder.path
        if path is not None and would_take(path, folder / "part.parquet"):
            raise ValueError(f"{folder} would be a part of the input from then on: name a place outside {path}")

    @contextmanager
    def opened(self, header: Header) -> Iterator[None]:
        with self._folder.opened(header, self.parts):
            self._leave_for_actors()
            yield

    def _leave_for_actors(self) -> None:
        job, options = self._folder.job, self._options
        if self._input.path is not None:
            write_job(job, options, self._input.path, self.survey, self._schema)
            return
        path = write_table(job, self._input.table)
        copy = DataSource(path, None, options, called=_TABLE)
        copy.check_input()
        with closing(copy):
            write_job(job, options, path, copy.open(lambda: False), self._schema, _TABLE)

    def begin(self) -> None:
        self._folder.begin()

    def end(self, rows: int, failed: int) -> None:
        self._folder.end(self.parts, {"rows": rows, "failed": failed})


def _input_of(given: Any, options: DataOptions) -> DataSource:
    if options.journal is not None:
        raise ValueError("journal has no place in a cluster's job: each part has its own, in the output")
    if not is_path(given):
        source = source_of(given, None, options)
        assert isinstance(source, DataSource)
        return source
    if Path(given) == STREAM:
        raise ValueError("the input must be a path that each node finds, and stdin is none")
    return DataSource(Path(given).absolute(), None, options)


def _parts(survey: Survey, rows_per_part: int) -> list[Part]:
    """Return the parts of a table: fewer rows in each if rows are large, because a part is in memory as a whole."""
    mean_bytes = survey.size_bytes / max(survey.rows, 1)
    step = max(1, min(rows_per_part, int(MAX_PART_BYTES / max(mean_bytes, 1))))
    starts = range(1, max(survey.rows, 1) + 1, step)
    ends = (min(start + step - 1, survey.rows) for start in starts)
    return [Part(start, end, end - start + 1, 0, 0, "") for start, end in zip(starts, ends, strict=True)]
