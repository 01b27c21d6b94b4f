"""The output of a job on tables: a folder of Parquet files, and of what the job needs beside them.

    part-000000000001.parquet   rows with their answers, named for the number of the first; appears in one step
    _SUCCESS                    there if all parts are: says how many rows they have, and which they are
    _journal/                   `batch.json`, and the journals of the parts as `part_file` describes them
    _journal/job/               what the actors read while the job runs: what rows ask, and a copy of a table

Programs that read such a folder pass over names that begin with an underscore.

A part belongs to its journal: its metadata has a digest of the journal and of the columns that were asked for. So a
part is made again if its journal changed since, or if other columns are wanted.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet

from nomyo._files.file_systems import sync_directory
from nomyo._files.new_files import created, replace
from nomyo.batch.data.formats import PARQUET, Format
from nomyo.batch.data.outputs import output_stream
from nomyo.batch.header import Header
from nomyo.batch.ray.output import OutputFolder
from nomyo.batch.ray.parts import Part
from nomyo.batch.report import JOURNALS
from nomyo.errors import BatchError

_JOB: Final = "job"
_DONE: Final = "_SUCCESS"
_PART: Final = "part-{:012}.parquet"
_MADE_OF: Final = b"nomyo.made_of"
_LEFTOVER: Final = re.compile(r"\.part-[0-9]{12,}\.parquet\.nomyo-new|\._SUCCESS\.nomyo-new")
_FORMAT: Final = 1


class TableFolder:
    """The folder of a job on tables.

    Args:
        path: The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journals = path / JOURNALS
        self.job = self.journals / _JOB

    @contextmanager
    def opened(self, header: Header, parts: Iterable[Part]) -> Iterator[None]:
        """Make the folder, or check that it is this job's, and lock it; at the end, remove what the actors read.

        Raises:
            BatchError: The folder belongs to another batch, holds something else, or another job uses it.
            OSError: The folder cannot be made or written.
        """
        self.path.mkdir(mode=0o700, exist_ok=True)
        self._check_names({_PART.format(part.line) for part in parts})
        with OutputFolder(self.journals, header, name=self.path.name):
            self._remove_job()
            self.job.mkdir(mode=0o700)
            try:
                yield
            finally:
                self._remove_job()

    def _check_names(self, parts: set[str]) -> None:
        begun = (self.journals / "batch.json").exists()
        for name in sorted(os.listdir(self.path)):
            ours = name == JOURNALS or (begun and (name == _DONE or name in parts or _LEFTOVER.fullmatch(name)))
            if not ours:
                raise BatchError(f"{self.path.name} holds something else already, {name}: name another output")

    def _remove_job(self) -> None:
        with suppress(FileNotFoundError):
            shutil.rmtree(self.job)

    def write_part(self, part: Part, made_of: bytes, write: Any) -> None:
        """Write the file of a part in one step, in place of an earlier one.

        Args:
            part: The part.
            made_of: What it is made of, as `has_part` is asked for it.
            write: Writes the content to a stream, with the metadata of the file.
        """
        path = self.path / _PART.format(part.line)
        with suppress(FileExistsError):  # another actor, which Ray had declared dead, wrote it meanwhile
            with output_stream(path, Format(PARQUET), exists=path.exists()) as stream:
                write(stream, {_MADE_OF: made_of})
            return
        with output_stream(path, Format(PARQUET), exists=True) as stream:
            write(stream, {_MADE_OF: made_of})

    def has_part(self, part: Part, made_of: bytes) -> bool:
        """Return whether the file of a part is there, as `write_part` wrote it."""
        try:
            found = pyarrow.parquet.read_metadata(self.path / _PART.format(part.line))
        except (pa.ArrowException, OSError):
            return False
        return (found.metadata or {}).get(_MADE_OF) == made_of and found.num_rows == part.rows

    def begin(self) -> None:
        """Remove the sign that all parts are there, because one of them is not, or is made again."""
        with suppress(FileNotFoundError):
            (self.path / _DONE).unlink()
            sync_directory(self.path / _DONE)

    def end(self, parts: Iterable[Part], counts: Mapping[str, int]) -> None:
        """Write the sign that all parts are there."""
        names = [_PART.format(part.line) for part in parts]
        content = json.dumps({"nomyo_batch_parts": _FORMAT, **counts, "parts": names}, allow_nan=False).encode() + b"\n"
        path = self.path / _DONE
        if path.exists():
            replace(path, [content])
            return
        with created(path) as descriptor, open(descriptor, "wb", closefd=False) as file:
            file.write(content)


def digest_of(journal: bytes, wanted: str) -> bytes:
    """Return what a part is made of, as one digest: its journal, and what the output is to have."""
    return hashlib.sha256(hashlib.sha256(journal).digest() + wanted.encode()).hexdigest().encode()
