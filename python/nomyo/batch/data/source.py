"""An input with its output, as a run sees them: rows become requests, and their answers come to stand beside them.

Rules and promises:

- The journal (`OUTPUT.journal`) is that of any batch: it alone decides what is done, and holds the answers until the
  output is written. It stays, because `retry_errors` needs it; whoever has the output may remove it.
- The input is read three times: for its digest and its number of rows, for the requests, and beside the journal. A file
  that changed in between stops the batch. Memory holds some rows at once, and eight bytes for each row at the end.
- The output appears in one step, when all rows are done. A later run replaces it only if the journal is there.
- Rows are numbered from 1 over all files, and each has one row in the output, in the input's order.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from nomyo._finite_json import ascii_json
from nomyo.batch.data.arrow_files import arrow_reader
from nomyo.batch.data.assembly import Assembly, Cancelled, columns_of
from nomyo.batch.data.columns import check_alike
from nomyo.batch.data.compressed import in_own_words
from nomyo.batch.data.files import STREAM, InputFile, files_of, is_glob, known_format, stdin_file, would_take
from nomyo.batch.data.formats import JSONL, Format, format_of
from nomyo.batch.data.journal_rows import JournalRows
from nomyo.batch.data.options import DataOptions
from nomyo.batch.data.outputs import BatchWriter, check_types, output_stream
from nomyo.batch.data.records import Reader
from nomyo.batch.data.requests import Requests
from nomyo.batch.data.tables import TableReader, is_path, table_of
from nomyo.batch.data.text_files import JsonLines, first_names, text_reader
from nomyo.batch.done_lines import DoneLines
from nomyo.batch.input_lines import Survey
from nomyo.batch.records import BadRow, Row, read_row
from nomyo.batch.sealed import Seal
from nomyo.batch.source import JsonlSource, Source, refuse_own_files
from nomyo.errors import BatchError

_JOURNAL: Final = ".journal"
_ASKED: Final = "the input, or what its rows ask (columns, template, system, model, parameters),"


def source_of(given: Any, output: str | os.PathLike[str] | None, options: DataOptions | None) -> Source:
    """Return the source for what a caller gave.

    Args:
        given: A path, or a table.
        output: The output; None for a table that is given back.
        options: None for a file in OpenAI's batch format.

    Raises:
        ValueError, TypeError: These cannot be used together.
        ConfigurationError: pyarrow is needed, and is not installed.
    """
    path = Path(output) if output is not None else None
    if output is not None and os.fspath(output).endswith(os.sep):  # which `Path` leaves out
        raise _folder(output)
    if not is_path(given):
        if options is None or not options.asks:
            raise ValueError("data is needed, and says what the rows of a table ask: nomyo.batch.DataOptions")
        return DataSource(None, path, options, table=table_of(given))
    source = Path(given)
    if path is None:
        raise ValueError("output is needed: only a table is given back as one")
    if options is None and not needs_data(source, path):
        return JsonlSource(source, path)
    return DataSource(source, path, options or DataOptions())


def needs_data(source: Path, output: Path) -> bool:
    """Return whether it takes more than a file in OpenAI's batch format, and an output that is its journal."""
    plain = Format(JSONL)
    if source == STREAM or output == STREAM or source.is_dir() or is_glob(source):
        return True
    return any(format_of(each) not in (None, plain) for each in (source, output))


class DataSource:
    """Rows of files or of a table.

    Args:
        path: A file, a folder, a glob, or `-`; None for a table.
        output: The output, or `-`; None for a table that is given back.
        options: What each row asks.
        table: The table, if `path` is None.
        called: What messages and a `custom_id` call the file, if `path` is one; None for its own name.
    """

    def __init__(
        self,
        path: Path | None,
        output: Path | None,
        options: DataOptions,
        *,
        table: Any = None,
        called: str | None = None,
    ) -> None:
        self.path = path
        """The input, if it is no table."""
        self.table = table
        """The input, if it is one."""
        self._called = called
        self._options = options
        self._output = output if output is None or output == STREAM else Path(os.path.realpath(output))
        self._form = _output_format(output)
        self._journal = _journal(self._output, options)
        self._requests: Requests | None = None
        self._files: list[InputFile] = []
        self.readers: list[Reader] = []
        """Of an input that is open: its files in their order, or its table."""
        self.counts: list[int] = []
        """How many rows each of these has."""
        self._rows = 0
        self._output_exists = False
        self._sealed = False
        self._fault: Exception | None = None

    @property
    def journal(self) -> Path:
        """The file that keeps the answers until the output is written.

        Raises:
            ValueError: Nothing names it.
        """
        if self._journal is None:
            raise ValueError(
                "journal is needed, a file that keeps the answers so that none is lost, because there is no output file"
            )
        return self._journal

    @property
    def _folder(self) -> Path | None:
        """Where copies are made; without a journal, where the system has its temporary files."""
        return None if self._journal is None else self._journal.parent

    def check_output(self, *, sealed: bool) -> None:
        """Refuse an output that is there already, unless it is that of this journal."""
        self.check_sealing(sealed=sealed)
        folder = self.journal.parent
        if os.path.realpath(self.journal) == str(self._output):
            raise ValueError("the journal must not be the output: it keeps the answers that the output is made of")
        if not folder.is_dir():
            raise BatchError(f"the folder {folder} does not exist")
        if self._output is not None and self._output != STREAM:
            self._check_file(self._output)

    def check_sealing(self, *, sealed: bool) -> None:
        """Refuse options that need sealed rows, if rows are not sealed."""
        self._sealed = sealed
        if self._options.seal_input_columns and not sealed:
            raise ValueError("seal_input_columns needs encrypt_to, the key to seal for")

    def check_input(self) -> None:
        """Refuse what cannot be used, as far as that takes no reading of the input."""
        self._requests = Requests(self._options) if self._options.asks else None
        if self.path is not None and self.path != STREAM:
            self._files = files_of(self.path)
            self._files[0].name = self._called or self._files[0].name
            self._check_kind()

    def _check_kind(self) -> None:
        form = self._files[0].format
        if self._requests is None and form.kind != JSONL:
            raise ValueError(
                f"{form.kind} says nothing of what its rows ask: prompt_column, messages_column or template is needed"
            )
        for ours in (self._journal, self._output):
            if ours is None or self.path is None:
                continue
            for file in self._files:
                refuse_own_files(ours, file.path)
            if would_take(self.path, ours):
                raise ValueError(f"{ours} would be a part of the input from then on: name a place outside {self.path}")

    def _check_file(self, output: Path) -> None:
        if not output.parent.is_dir():
            raise BatchError(f"the folder {output.parent} does not exist")
        self._output_exists = os.path.lexists(output)
        if self._output_exists and not self.journal.exists():
            raise BatchError(
                f"{output.name} holds something else already, or its journal {self.journal.name} was removed:"
                " name another output"
            )

    @in_own_words
    def open(self, cancelled: Callable[[], bool], stopped: Callable[[], bool] = lambda: False) -> Survey:
        """Open the input: check its columns, count its rows and take its digest."""
        if self.path == STREAM:
            self._files = [stdin_file(self._folder, lambda: cancelled() or stopped())]
        for file in self._files:
            file.cancelled = cancelled
        try:
            self.readers = self._opened_readers()
            self._check_columns()
            self.counts = [reader.count() for reader in self.readers]
            self._rows = sum(self.counts)
            size_bytes, digest = self._digest()
        except BaseException:
            self.close()
            raise
        return Survey(self._rows, self._rows, size_bytes, digest, called=_ASKED)

    def _opened_readers(self) -> list[Reader]:
        if self.path is None:
            return [TableReader(self.table)]
        for file in self._files:
            file.make_seekable(self._folder)
        return [text_reader(file) if file.format.is_text else arrow_reader(file) for file in self._files]

    @property
    def _is_text(self) -> bool:
        return bool(self._files) and self._files[0].format.is_text

    def _check_columns(self) -> None:
        if len(self.readers) > 1 and not self._is_json:
            check_alike(self.readers)
        names = None if self._requests is None else self._names()
        if self._requests is None or names is None:
            return
        first = self.readers[0]
        self._requests.check(first, names, typed=not self._is_text)
        # Of JSON lines some may have other names, which are known when all were read.
        columns = columns_of(self._options, names, sealed=self._sealed)
        seals_input = self._sealed and self._options.seal_input_columns
        if not (self._form.is_text or self._is_json or seals_input):
            check_types(self._form, BatchWriter(columns, first.schema()).schema)

    def _names(self) -> list[str] | None:
        """Return the names of the columns; of JSON lines those of the first rows, or None without a row."""
        files = [reader for reader in self.readers if isinstance(reader, JsonLines)]
        return first_names(files) if files else self.readers[0].names()

    @property
    def _is_json(self) -> bool:
        return isinstance(self.readers[0], JsonLines)

    def _digest(self) -> tuple[int, str]:
        if self.path is None:
            return 0, self._digest_of_requests()
        found = [file.digest() for file in self._files]
        asked = self._files[0].format.kind + self._options.digest()  # the same bytes may be CSV and TSV
        whole = hashlib.sha256(b"".join(digest for _, digest in found) + asked.encode())
        return sum(size_bytes for size_bytes, _ in found), whole.hexdigest()

    def _digest_of_requests(self) -> str:
        """Return a digest of what the rows of a table ask. Arrow has many forms for the same table."""
        whole = hashlib.sha256()
        for row in self._all_rows():
            asked = [row.custom_id, row.body if isinstance(row, Row) else str(row)]
            whole.update(ascii_json(asked, sort_keys=True, default=str).encode() + b"\n")
        return whole.hexdigest()

    def pending(self, done: DoneLines) -> Iterator[Row | BadRow]:
        """Yield the rows that are not done. If the input cannot be read further, `verify` says so."""
        try:
            yield from self._all_rows(done)
        except (BatchError, OSError) as error:
            self._fault = error.with_traceback(None)

    def _all_rows(self, done: DoneLines | frozenset[int] = frozenset()) -> Iterator[Row | BadRow]:
        number = 0
        for reader in self.readers:
            for place, found in enumerate(self.found_in(reader), 1):
                number += 1
                if number not in done:
                    yield self.row(number, f"{reader.name}:{place}", found)

    def found_in(self, reader: Reader) -> Iterator[Any]:
        """Yield the lines of a file of requests, or the records of any other."""
        if self._requests is not None:
            return reader.records(self._requests.columns)
        assert isinstance(reader, JsonLines)
        return reader.lines()

    @property
    def paths(self) -> list[Path]:
        """The files of the input; none of a table."""
        return [file.path for file in self._files]

    @property
    def columns(self) -> set[str] | None:
        """The columns that requests are made of; None for all."""
        return None if self._requests is None else self._requests.columns

    def check_unchanged(self, place: int) -> None:
        """Check that a file, by its place among all files, is as it was when it was opened.

        Raises:
            BatchError: It changed.
            OSError: It cannot be opened.
        """
        if self._files:
            with self._files[place].opened():
                pass

    def row(self, number: int, place: str, found: Any) -> Row | BadRow:
        """Return the request that a line or a record makes."""
        return read_row(number, found) if self._requests is None else self._requests.row(number, place, found)

    @in_own_words
    def verify(self) -> None:
        """Raise what ended the reading of the input, if anything did."""
        if self._fault is not None:
            raise self._fault

    @in_own_words
    def finish(self, seal: Seal | None, cancelled: Callable[[], bool]) -> Any:
        """Write the output; or return the table, if there is none."""
        with JournalRows(self.journal, self._rows) as rows:
            assembly = Assembly(self.readers, rows, self._options, seal, cancelled)
            if self._output is None:
                return assembly.table()
            with suppress(Cancelled), output_stream(self._output, self._form, exists=self._output_exists) as stream:
                assembly.write(stream, self._form)
        return None

    def close(self) -> None:
        """Close the copies that were made."""
        for file in self._files:
            if file.copy is not None:
                file.copy.close()


def _output_format(output: Path | None) -> Format:
    """Return the format of an output; of stdout and a table, that of their rows."""
    if output is not None and output.is_dir():
        raise _folder(output)
    return Format(JSONL) if output is None or output == STREAM else known_format(output)


def _folder(output: str | os.PathLike[str]) -> BatchError:
    return BatchError(f"the output must be a file, and {os.fspath(output)} is a folder: name a file in it")


def journal_of(output: Path) -> Path:
    """Return the path of an output's journal, if nothing else is named."""
    return output.with_name(output.name + _JOURNAL)


def journal_path(source: Path, output: Path, options: DataOptions | None) -> Path:
    """Return the file that has the rows of a batch in OpenAI's format, under the name that the caller's words give it.

    It is the output itself, or the journal of a table.
    """
    journal = source_of(source, output, options).journal
    beside = journal_of(output)
    return beside if os.path.realpath(beside) == str(journal) else journal


def _journal(output: Path | None, options: DataOptions) -> Path | None:
    """Return the path of a journal; None if it is not named, and no output names it."""
    if options.journal is not None:
        return Path(options.journal)
    if output is None or output == STREAM:
        return None
    return journal_of(output)
