"""The journal of a batch: the output file itself, and a small file beside it that says which input it belongs to.

Rules and promises:

- The output is the journal. A row of the input is done if and only if its row is in the output, so the two cannot
  disagree, and no other file ever holds an answer.
- `OUTPUT.batch` (`header`) identifies the input and is locked while a batch runs. It is written once, before the first
  row, and never changed. It holds no content.
- If there is a seal, no unsealed row reaches the output. The rows of an output are all sealed, or all not (`sealed`).
- Rows are appended whole. A row that a kill, a full disk or a power loss tore is dropped when the batch goes on, and
  sent again. A whole row without its line end counts. If an output holds something, but no row and no torn row, it is
  refused and stays as it is.
- A row is in flight from when it is sent until it is on the disk (`append_log`). A row that is no longer in flight is
  not sent again, unless it failed and `retry_errors` asks for it.
- Memory grows by one bit for each row.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from nomyo._files.file_systems import naming, read_at, sync, sync_directory, try_lock, write_all
from nomyo._files.new_files import check_directory, remove_leftover, replace
from nomyo._files.opening import create, open_to_append, open_to_lock
from nomyo._warn import warn
from nomyo.batch.append_log import AppendLog
from nomyo.batch.done_lines import DoneLines
from nomyo.batch.header import MAX_BYTES, Header, header_of, is_foreign
from nomyo.batch.input_lines import Survey, output_lines
from nomyo.batch.order import in_order
from nomyo.batch.records import Mark, is_remnant, read_mark, whole_row
from nomyo.batch.row_tokens import RowTokens, row_tokens
from nomyo.batch.sealed import Seal
from nomyo.errors import BatchError


class Journal:
    """The output of a batch, locked and open for more rows; `async with` closes it.

    Args:
        output: The output's path.
        survey: What identifies the input.
        ordered: Whether the finished output has the order of the input.
        retry_errors: Whether rows that failed are sent once more.
        max_unsynced: How many rows, beside those under way, a power loss may cost.
        seal: Seals rows before they are written; None if they are written as they are.
        counts_tokens: Whether the tokens of rows are added up, and shown beside sealed rows.

    Raises:
        BatchError: The output belongs to another batch or to none, is sealed differently, or another process uses it.
        OSError: A file cannot be opened, read or written.
    """

    def __init__(
        self,
        output: Path,
        survey: Survey,
        *,
        ordered: bool,
        retry_errors: bool,
        max_unsynced: int,
        seal: Seal | None = None,
        counts_tokens: bool = False,
    ) -> None:
        self._path = Path(os.path.realpath(output))  # the file is replaced, not a link to it
        self._ordered = ordered
        self._seal = seal
        self._counts_tokens = counts_tokens
        self.tokens = RowTokens()
        """Of the rows that were done before, if tokens are counted."""
        if output.exists() and not output.is_file():
            raise BatchError(f"the output must be a regular file, and {output} is not one: a batch goes on from it")
        self._lock = self._take_lock()
        try:
            sealed_for = None if seal is None else seal.fingerprint
            self._check_or_write_header(Header(survey, ordered=ordered, sealed_for=sealed_for))
            self.done = DoneLines(survey.lines)
            self.dropped = 0
            """How many lines were dropped that were not rows, or second rows for a line; without a torn end."""
            self._scan_output(retry_errors)
            self._file = AppendLog(self._open_output(), self._path, max_unsynced, expected_name=self._path)
        except BaseException:
            os.close(self._lock)
            raise

    async def append(self, row: bytes) -> None:
        """Write a row; it is on the disk soon afterwards.

        Raises:
            OSError: The disk is full or fails.
            SecurityError: Locked memory is required, and there is not enough to seal the row.
        """
        mark = read_mark(row)
        assert mark is not None
        if self._seal is not None:
            shown = row_tokens(row, mark) if self._counts_tokens and not mark.failed else None
            row = self._seal(row, shown)
        await self._file.append(row)
        self.done.add(mark)

    async def finish(self) -> None:
        """Wait until all rows are on the disk, and sort them if `ordered` asks for it.

        Raises:
            OSError: The disk is full or fails. No row is lost; rows may be unsorted.
        """
        await self._file.sync()
        if self._ordered:
            self._sort_output()

    async def aclose(self) -> None:
        """Close the output and release the lock."""
        try:
            await self._file.aclose()
            self._restore_header()
        finally:
            os.close(self._lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _take_lock(self) -> int:
        check_directory(self._path)
        header = header_of(self._path)
        if not header.exists() and _size_bytes(self._path):
            raise BatchError(f"{self._path.name} holds something else already: name another output")
        descriptor = open_to_lock(header)
        try:
            if try_lock(descriptor, header):
                return descriptor
            raise BatchError(f"another process is working on {self._path.name}")
        except BaseException:
            os.close(descriptor)
            raise

    def _check_or_write_header(self, header: Header) -> None:
        """Hold an output that was begun to its input; one that has no row yet may become anyone's."""
        with naming(header_of(self._path)):
            begun, name = read_at(self._lock, MAX_BYTES, 0), header_of(self._path).name
        if _size_bytes(self._path):
            header.check(begun, self._path.name, name)
            return
        if is_foreign(begun):
            raise BatchError(f"{name} holds something else already: name another output")
        with naming(header_of(self._path)):
            os.ftruncate(self._lock, 0)
            write_all(self._lock, header.encoded())
            sync(self._lock, header_of(self._path))
        sync_directory(self._path)

    def _restore_header(self) -> None:
        """Write the header again if somebody removed it meanwhile; without it, no batch goes on."""
        header = header_of(self._path)
        try:
            if not os.path.lexists(header) and _size_bytes(self._path):
                _write_new(header, read_at(self._lock, MAX_BYTES, 0))
        except OSError as error:
            words = f"{header} was removed, and cannot be written again ({error.strerror})"
        else:
            return
        warn(f"{words}: without it, no batch goes on with {self._path.name}")

    def _scan_output(self, retry_errors: bool) -> None:
        """Find which lines are done, and remove rows that do not count: torn ones, and errors to retry."""
        if not _size_bytes(self._path):
            return
        remove_leftover(self._path)
        place = end = 0
        changed = found = unended = False
        with open(self._path, "rb") as lines:
            for line, size_bytes in output_lines(lines):
                start, place = place, place + size_bytes
                row, mark = whole_row(line) or (line, None)
                self._check_kind(mark)
                found = found or mark is not None
                if not self.done.add(mark, retry_errors=retry_errors):
                    self.dropped += _is_reported(line, mark, retry_errors)
                else:
                    self._count_tokens(row, mark)
                    unended = line + b"\n" == row
                    changed = changed or start != end or not (unended or row == line)
                    end = place
            if self.dropped and not found:
                raise BatchError(f"{self._path.name} holds no row of a batch: name another output")
            if changed:
                lines.seek(0)
                replace(self._path, self._kept(lines, retry_errors))
            elif end < place:  # the usual case, and one that needs no room on a full disk
                os.truncate(self._path, end)
            elif unended:
                with open(self._path, "ab") as file:
                    file.write(b"\n")

    def _count_tokens(self, row: bytes, mark: Mark | None) -> None:
        if not self._counts_tokens or mark is None:
            return
        self.tokens.add(row, mark)
        if self.tokens.hidden:
            raise BatchError(
                f"{self._path.name} is sealed and was begun without a budget, so nobody can tell what it took: go on"
                " without budget and prices, or name another output"
            )

    def _kept(self, lines: BinaryIO, retry_errors: bool) -> Iterator[bytes]:
        kept = DoneLines(self.done.lines)
        for row, mark in filter(None, (whole_row(line) for line, _ in output_lines(lines))):
            if kept.add(mark, retry_errors=retry_errors):
                yield row

    def _check_kind(self, mark: Mark | None) -> None:
        """Refuse an output in which somebody mixed sealed and unsealed rows; no row of it is dropped."""
        if mark is None or mark.sealed == (self._seal is not None):
            return
        words = "is sealed" if mark.sealed else "is not sealed"
        raise BatchError(f"a row of {self._path.name} {words}, unlike its batch: name another output")

    def _sort_output(self) -> None:
        with open(self._path, "rb") as rows:
            sorted_rows = in_order(rows)
            if sorted_rows is not None:
                replace(self._path, sorted_rows)

    def _open_output(self) -> int:
        descriptor = open_to_append(self._path)
        sync(descriptor, self._path)
        sync_directory(self._path)
        return descriptor


def _is_reported(line: bytes, mark: Mark | None, retry_errors: bool) -> bool:
    """Return whether a line that does not count is reported: a torn end and a failure to retry are not."""
    return not is_remnant(line) if mark is None else not (mark.failed and retry_errors)


def _write_new(path: Path, content: bytes) -> None:
    """Write a new file, completely or not at all."""
    descriptor = create(path)
    try:
        write_all(descriptor, content)
        sync(descriptor, path)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(descriptor)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
