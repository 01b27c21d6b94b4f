"""The rows of an input as a run would send them, without an output."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from nomyo.batch.data.options import DataOptions
from nomyo.batch.data.source import DataSource, needs_data
from nomyo.batch.done_lines import DoneLines
from nomyo.batch.records import BadRow, Row
from nomyo.batch.source import JsonlSource, Source


def rows_of(path: Path, options: DataOptions | None) -> Iterator[Row | BadRow]:
    """Read a whole input, and yield its rows.

    Args:
        path: The input, as a run takes it.
        options: What each row asks; None for requests in OpenAI's batch format.

    Raises:
        ValueError: The input cannot be used: a device, a column that is not there, a glob that matches nothing.
        BatchError: A file is damaged.
        OSError: The input cannot be read.
    """
    source: Source = JsonlSource(path, None)
    if options is not None or needs_data(path, path):
        source = DataSource(path, None, options or DataOptions())
    source.check_input()
    survey = source.open(lambda: False)
    with closing(source):
        yield from source.pending(DoneLines(survey.lines))
        source.verify()
