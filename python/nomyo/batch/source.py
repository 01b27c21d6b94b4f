"""Where the rows of a batch come from, as a run sees it; and the usual source: a file in OpenAI's batch format."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from nomyo._files.new_files import staged
from nomyo.batch.done_lines import DoneLines
from nomyo.batch.header import header_of
from nomyo.batch.input_lines import NumberedLines, Survey, open_input, survey
from nomyo.batch.records import BadRow, Row, read_row
from nomyo.batch.sealed import Seal
from nomyo.errors import BatchError


class Source(Protocol):
    """An input, and what becomes of its journal when all rows are done. Its methods may block: threads call them."""

    @property
    def journal(self) -> Path:
        """The file that gets a row for each row of the input, in OpenAI's batch format."""

    def check_output(self, *, sealed: bool) -> None:
        """Refuse an output that cannot be used, before anything is made.

        Args:
            sealed: Whether rows are sealed.

        Raises:
            ValueError, OSError, BatchError: It cannot be used.
        """

    def check_input(self) -> None:
        """Refuse an input that cannot be used, as far as that can be told without reading it.

        Raises:
            ValueError, OSError, BatchError: It cannot be used.
        """

    def open(self, cancelled: Callable[[], bool], stopped: Callable[[], bool] = lambda: False) -> Survey:
        """Open the input, and read it once.

        Args:
            cancelled: Returns True if the caller no longer needs the survey. Then the result is incomplete.
            stopped: Returns True if the run was stopped. Then nothing is waited for that may never come.

        Raises:
            ValueError, OSError, BatchError: It cannot be used, or the run was stopped. Nothing stays open.
        """

    def pending(self, done: DoneLines) -> Iterator[Row | BadRow]:
        """Yield the rows that are not done, by their numbers."""

    def verify(self) -> None:
        """Check that the rows that `pending` gave are those of the input that was opened.

        Raises:
            BatchError: The input changed, or could not be read to its end.
        """

    def finish(self, seal: Seal | None, cancelled: Callable[[], bool]) -> Any:
        """Make of the journal what the caller wants, after all rows are done.

        Args:
            seal: Seals what is not sealed in the journal, and is to be; None if nothing is.
            cancelled: Returns True if the caller no longer needs it. Then the outcome is incomplete, or None.

        Returns:
            What a run's summary has as its `table`.

        Raises:
            OSError: The disk is full or fails. The journal has all rows, and the same call tries again.
            BatchError, ValueError: The input changed; the output cannot have the columns that it should.
        """

    def close(self) -> None:
        """Close the input. Idempotent."""


class JsonlSource:
    """A file in OpenAI's batch format, whose output is the journal itself.

    Args:
        path: The input.
        output: The output; None if there is none, because nothing is sent.
    """

    def __init__(self, path: Path, output: Path | None) -> None:
        self._path = path
        self._output = output
        self._file: BinaryIO | None = None
        self._state = (0, 0)
        self._survey: Survey | None = None
        self._sha256: str | None = None
        """The digest of all that was read for the rows; None until the end was reached."""

    @property
    def journal(self) -> Path:
        """The output itself."""
        assert self._output is not None
        return self._output

    def check_output(self, *, sealed: bool) -> None:
        """Do nothing: the journal checks it."""

    def check_input(self) -> None:
        """Refuse an input that is no file."""
        open_input(self._path).close()

    def open(self, cancelled: Callable[[], bool], stopped: Callable[[], bool] = lambda: False) -> Survey:
        """Open the input, count its rows and take its digest."""
        if self._output is not None:
            refuse_own_files(self._output, self._path)
        self._file = open_input(self._path)
        try:
            self._state = file_state(self._file)
            self._survey = survey(self._file, cancelled)
        except BaseException:
            self.close()
            raise
        return self._survey

    def pending(self, done: DoneLines) -> Iterator[Row | BadRow]:
        """Yield the rows that are not done."""
        assert self._file is not None
        lines = NumberedLines(self._file)
        for number, content in lines:
            if number > done.lines:
                break
            if number not in done:
                yield read_row(number, content)
        self._sha256 = lines.sha256

    def verify(self) -> None:
        """Compare the digest if all was read, else size and time of the file."""
        assert self._file is not None
        assert self._survey is not None
        same = self._sha256 == self._survey.sha256 if self._sha256 else file_state(self._file) == self._state
        if not same:
            raise BatchError("the input changed while it was read: its rows and the output's may not belong together")

    def finish(self, seal: Seal | None, cancelled: Callable[[], bool]) -> None:
        """Do nothing: the journal is the output."""

    def close(self) -> None:
        """Close the input."""
        if self._file is not None:
            self._file.close()


def refuse_own_files(output: Path, source: Path) -> None:
    """Refuse an input that is the output itself, or a file that a batch makes beside it.

    Raises:
        ValueError: It is one of them.
    """
    real = Path(os.path.realpath(output))
    for ours in (real, header_of(real), staged(real)):
        if ours.exists() and source.samefile(ours):
            raise ValueError("the output must not be the input, nor have it beside it under a name of its own")


def file_state(file: BinaryIO) -> tuple[int, int]:
    """Return the size and modification time of a file, which nearly always change with its content."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
