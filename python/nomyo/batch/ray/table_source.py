"""The rows of tables on their way through an actor: to the router, and beside their answers into a file of Parquet.

What rows ask (columns, template, system message, parameters) is content, so it does not travel through Ray: the job
leaves it in a folder, from which the actors read it, with the digest of the input and the columns that it has.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa

from nomyo import _core
from nomyo.batch.data.assembly import Assembly
from nomyo.batch.data.formats import ARROW, PARQUET, Format
from nomyo.batch.data.options import DataOptions
from nomyo.batch.data.outputs import batch_sink, output_stream
from nomyo.batch.data.portions import Portion, Portions
from nomyo.batch.data.source import DataSource
from nomyo.batch.input_lines import Survey
from nomyo.batch.ray.part_file import PartFile
from nomyo.batch.ray.part_source import PartRows
from nomyo.batch.ray.parts import Part
from nomyo.batch.ray.table_folder import TableFolder, digest_of
from nomyo.batch.records import BadRow, Row
from nomyo.batch.sealed import Seal
from nomyo.errors import BatchError

_JOB: Final = "job.json"
_TEMPLATE: Final = "template"
_SCHEMA: Final = "columns"
_TABLE: Final = "table.arrows"
_OF_OPTIONS: Final = (
    "prompt_column",
    "messages_column",
    "system",
    "model",
    "parameters",
    "columns",
    "seal_input_columns",
)


def write_table(folder: Path, table: Any) -> Path:
    """Copy a table for the actors, in clear; return where it lies.

    Raises:
        OSError: The disk is full or fails.
    """
    path, form = folder / _TABLE, Format(ARROW, is_stream=True)
    with output_stream(path, form, exists=False) as stream, batch_sink(stream, form, table.schema) as write:
        for batch in table.to_batches():
            write(batch)
    return path


def write_job(
    folder: Path, options: DataOptions, path: Path, survey: Survey, schema: Any, called: str | None = None
) -> None:
    """Leave for the actors what rows ask.

    Args:
        folder: The folder that the actors read.
        options: What each row asks.
        path: The input, which each node finds there.
        survey: What identifies it.
        schema: The columns that it has.
        called: What messages and a `custom_id` call it; None for its own name.

    Raises:
        OSError: The disk is full or fails.
    """
    given = {name: getattr(options, name) for name in _OF_OPTIONS}
    given["columns"] = None if options.columns is None else list(options.columns)
    given["parameters"] = dict(options.parameters)
    text = options.template_text()
    known = {"path": str(path), "called": called, "rows": survey.rows, "sha256": survey.sha256}
    content = {"options": given, "input": known, "template": text is not None}
    _write(folder / _JOB, json.dumps(content, allow_nan=False).encode())
    _write(folder / _TEMPLATE, (text or "").encode())
    _write(folder / _SCHEMA, schema.serialize().to_pybytes())


def _write(path: Path, content: bytes) -> None:
    with output_stream(path, Format(ARROW), exists=False) as stream:
        stream.write(content)


def wanted_of(options: DataOptions) -> str:
    """Return what decides which columns an output has, beside those of the input."""
    return json.dumps(
        [None if options.columns is None else list(options.columns), options.seal_input_columns], allow_nan=False
    )


@dataclass(frozen=True, slots=True)
class _Job:
    """What an actor read in the folder of the job."""

    options: DataOptions
    portions: Portions
    schema: Any


class TableSource:
    """The rows of tables; their answers become files of Parquet.

    Args:
        folder: The path of the output.
        wanted: What `wanted_of` returns.
        seal_to_pem: The public key that rows are sealed for; None if they are not.
        locked_required: Whether sealing needs locked memory.
    """

    def __init__(self, folder: str, wanted: str, seal_to_pem: str | None, locked_required: bool) -> None:
        self._folder = folder
        self.wanted = wanted
        self._seal_to_pem = seal_to_pem
        self._locked_required = locked_required
        self._job: _Job | None = None

    @property
    def folder(self) -> TableFolder:
        """The output."""
        return TableFolder(Path(self._folder))

    def open(self, part: Part) -> PartRows:
        """Return the rows of a part. The first call reads the whole input, and takes its digest.

        Raises:
            BatchError: The input was changed, or is another one on this node.
            OSError, ValueError: It cannot be used.
        """
        job = self._read()
        return _TablePart(self, part, job, job.portions.take(part.line, part.rows))

    def is_complete(self, part: Part, journal: PartFile) -> bool:
        """Return whether the part's file is there, and made of this journal."""
        return self.folder.has_part(part, self.made_of(journal))

    def made_of(self, journal: PartFile) -> bytes:
        """Return a digest of what the part's file is made of."""
        return digest_of(journal.content(), self.wanted)

    @property
    def seal(self) -> Seal | None:
        """What seals the columns of the input, if they are to be sealed."""
        if self._seal_to_pem is None:
            return None
        return Seal(_core.PublicKey.from_pem(self._seal_to_pem), locked_required=self._locked_required)

    def _read(self) -> _Job:
        with _READING:
            if self._job is None:
                self._job = _read_job(self.folder.job)
            return self._job


_READING: Final = threading.Lock()
"""A lock of the process, because one that belongs to a source could not travel."""


def _read_job(folder: Path) -> _Job:
    content = json.loads((folder / _JOB).read_bytes())
    template = folder / _TEMPLATE if content["template"] else None
    options = DataOptions(template=template, **content["options"])
    known = content["input"]
    schema = pa.ipc.read_schema(pa.py_buffer((folder / _SCHEMA).read_bytes()))
    source = DataSource(Path(known["path"]), None, options, called=known["called"])
    source.check_input()
    survey = source.open(lambda: False)
    if (survey.rows, survey.sha256) != (known["rows"], known["sha256"]):
        source.close()
        raise BatchError("the input was changed, or is another one on one of the nodes")
    return _Job(options, Portions(source, schema), schema)


@dataclass(frozen=True, slots=True)
class _TablePart:
    source: TableSource
    part: Part
    job: _Job
    portion: Portion

    def requests(self, done: Container[int]) -> list[Row | BadRow]:
        return list(self.portion.requests(done))

    def complete(self, journal: PartFile) -> None:
        """Write the part's file.

        Raises:
            BatchError: The rows and their answers cannot be written as Parquet.
            OSError: The disk is full or fails.
        """
        content = journal.content()
        rows = journal.rows()

        def write(stream: IO[bytes], metadata: Mapping[bytes, bytes]) -> None:
            Assembly(
                self.portion.readers,
                rows,
                self.job.options,
                self.source.seal,
                lambda: False,
                schema=self.job.schema,
                first=self.part.line,
                metadata=metadata,
            ).write(stream, Format(PARQUET))

        try:
            self.source.folder.write_part(self.part, digest_of(content, self.source.wanted), write)
        except pa.ArrowException:  # its words may show content
            fault = f"the rows from {self.part.line:,} on cannot be written as Parquet"
        else:
            return
        raise BatchError(fault)
