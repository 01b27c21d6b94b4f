"""What was done already: the output file itself, and a small file beside it that says of which input.

Rules and promises:

- The output is the journal. A row of the input is done if and only if its row is in the output, so the two cannot
  disagree, and no other file ever holds an answer.
- `OUTPUT.batch` (`header`) identifies the input and is locked while a batch runs. It is written once, before the first
  row, and never changed. It holds no content.
- Where there is a seal, no row reaches the output without it, and an output holds rows of one kind only (`sealed`).
- Rows are appended whole. One that a kill, a full disk or a power loss tore is dropped on resume, and sent again.
- A row is in flight from when it is sent until it is on the disk (`appended`). Of rows that are no longer in flight,
  none is sent twice, unless it failed and `retry_errors` asks for it.
- Of rows, memory takes one bit each.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

from nomyo.batch.appended import AppendedFile
from nomyo.batch.done import Done
from nomyo.batch.header import LONGEST_BYTES, Header, header_of, is_foreign
from nomyo.batch.lines import Survey
from nomyo.batch.order import in_order
from nomyo.batch.records import Mark, read_mark, whole_row
from nomyo.batch.rewrite import check_directory, remove_leftover, replace, sync_directory
from nomyo.batch.sealed import Seal
from nomyo.errors import BatchError

_OWNER_ONLY: Final = 0o600


class Journal:
    """The output of a batch, locked and open for more rows; `async with` closes it.

    Args:
        output: The output's path.
        survey: The input's.
        ordered: Whether rows stand in the order of the input's at the end.
        retry_errors: Whether rows that failed are to be done once more.
        most_unsynced: Rows that may be lost to a power loss, beside those under way.
        seal: Seals rows before they are written; None where they stand as they are.

    Raises:
        BatchError: The output is another batch's, or no batch's, or sealed otherwise, or somebody else works on it.
        OSError: A file cannot be opened, read or written.
    """

    def __init__(
        self,
        output: Path,
        survey: Survey,
        *,
        ordered: bool,
        retry_errors: bool,
        most_unsynced: int,
        seal: Seal | None = None,
    ) -> None:
        self._path = Path(os.path.realpath(output))  # what is replaced is the file, not a link to it
        self._ordered = ordered
        self._seal = seal
        self._lock = self._take_lock()
        try:
            sealed_for = None if seal is None else seal.fingerprint
            self._check_or_write_header(Header(survey, ordered=ordered, sealed_for=sealed_for))
            self.done = Done(survey.lines)
            self.dropped = 0
            """Lines of the output that were none of a batch's rows, beside a last one that was torn."""
            self._look_through(retry_errors)
            self._file = AppendedFile(self._open_output(), most_unsynced, self._path)
        except BaseException:
            os.close(self._lock)
            raise

    async def append(self, row: bytes) -> None:
        """Write a row; it is on the disk soon afterwards.

        Raises:
            OSError: The disk is full, or fails.
            SecurityError: It cannot be sealed in locked memory, which is required.
        """
        await self._file.append(row if self._seal is None else self._seal(row))
        self.done.take(read_mark(row))

    async def finish(self) -> None:
        """Wait until all rows are on the disk, and in order where that was asked for.

        Raises:
            OSError: The disk is full, or fails; no row is lost, and none out of its order is moved.
        """
        await self._file.sync()
        if self._ordered:
            self._put_in_order()

    async def aclose(self) -> None:
        """Close the output and let go of the lock."""
        try:
            await self._file.aclose()
        finally:
            os.close(self._lock)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _take_lock(self) -> int:
        check_directory(self._path)
        if self._path.exists() and not self._path.is_file():
            raise BatchError("the output must be a regular file: a batch resumes from it")
        header = header_of(self._path)
        if not header.exists() and _size_bytes(self._path):
            raise BatchError(f"{self._path.name} holds something else already: name another output")
        descriptor = os.open(header, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, _OWNER_ONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
        else:
            return descriptor
        raise BatchError(f"another process is working on {self._path.name}")

    def _check_or_write_header(self, header: Header) -> None:
        """Hold an output that was begun to its input; one that has no row yet may become anyone's."""
        begun, name = os.pread(self._lock, LONGEST_BYTES, 0), header_of(self._path).name
        if _size_bytes(self._path):
            header.check(begun, self._path.name, name)
            return
        if is_foreign(begun):
            raise BatchError(f"{name} holds something else already: name another output")
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, header.encoded(), 0)
        os.fsync(self._lock)
        sync_directory(self._path)

    def _look_through(self, retry_errors: bool) -> None:
        """Learn what is done, and rid the output of what does not count: torn rows, and errors to retry."""
        if not _size_bytes(self._path):
            return
        remove_leftover(self._path)
        place = end = 0
        changed = found = False
        with open(self._path, "rb") as lines:
            for line in lines:
                start, place = place, place + len(line)
                row, mark = whole_row(line) or (line, None)
                self._check_kind(mark)
                found = found or mark is not None
                self.dropped += mark is None and line.endswith(b"\n")
                if self.done.take(mark, retry_errors=retry_errors):
                    changed = changed or start != end or row != line
                    end = place
            if self.dropped and not found:
                raise BatchError(f"{self._path.name} holds no row of a batch: name another output")
            if changed:
                lines.seek(0)
                replace(self._path, self._kept(lines, retry_errors))
            elif end < place:  # the usual case, and one that needs no room on a full disk
                os.truncate(self._path, end)

    def _kept(self, lines: Iterable[bytes], retry_errors: bool) -> Iterator[bytes]:
        kept = Done(self.done.lines)
        for row, mark in filter(None, map(whole_row, lines)):
            if kept.take(mark, retry_errors=retry_errors):
                yield row

    def _check_kind(self, mark: Mark | None) -> None:
        """Refuse an output of which somebody else made a mixture: nothing of it is dropped."""
        if mark is None or mark.sealed == (self._seal is not None):
            return
        words = "is sealed" if mark.sealed else "is not sealed"
        raise BatchError(f"a row of {self._path.name} {words}, unlike its batch: name another output")

    def _put_in_order(self) -> None:
        with open(self._path, "rb") as rows:
            sorted_rows = in_order(rows)
            if sorted_rows is not None:
                replace(self._path, sorted_rows)

    def _open_output(self) -> int:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, _OWNER_ONLY)
        os.fsync(descriptor)
        sync_directory(self._path)
        return descriptor


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
