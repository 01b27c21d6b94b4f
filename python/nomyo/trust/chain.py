"""Files of hash-chained lines of JSON: many processes append to one, and anybody can verify it.

Form. Each line is an object whose last member is `"chain"`, the hexadecimal SHA-256 over

    the chain of the line before  +  the line itself without `,"chain":"..."`

both as they stand in the file, in ASCII. Before the first line stands the SHA-256 of the kind of the file ("nomyo
audit 1", say), so that a file of one kind does not pass for one of another.

Promises, and what they rest on:

- A line that is altered, removed, inserted or moved is detected by `links`, at the first line that does not follow
  from those before it. The chain has no key: who may write the file can write another chain, and can remove lines at
  its end. Keep the last chain elsewhere to notice that.
- One process at a time appends, under the lock of the file (`_files/private_files.py`).
- A line that was not written whole is detected. If a process is killed while it writes, what it left stays, and the
  next process appends a line with its length and digest. If the disk is full or fails, what was written of the lines
  is removed again.
- The lines are on the disk (fdatasync(2)) when `append` returns. `LockedChain.write` leaves that to its caller.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

from nomyo._files.file_systems import naming, read_at, sync_data, sync_directory, write_all
from nomyo._files.private_files import locked_file, private_file, refusal
from nomyo._finite_json import ascii_json
from nomyo._unique_json import parse_unique_json
from nomyo.errors import SecurityError

MAX_LINE_BYTES: Final = 64 * 1024
_END: Final = re.compile(rb',"chain":"([0-9a-f]{64})"\}\Z')
_LINE_END: Final = re.compile(rb',"chain":"([0-9a-f]{64})"\}\n')
_END_BYTES: Final = len(',"chain":""}') + 64
_TAIL_BYTES: Final = 4096
_LONGEST_TORN_BYTES: Final = 1 << 20
_TORN_BYTES: Final = "torn_bytes"
_TORN_SHA256: Final = "torn_sha256"
_RESERVED: Final = {"chain", _TORN_BYTES, _TORN_SHA256}


@dataclass(frozen=True, slots=True)
class Link:
    """A line that follows from those before it."""

    line: int
    """Its number, from 1."""
    entry: dict[str, Any]
    """What was appended."""
    chain: str
    """Its chain, which stands for all lines up to it."""


@dataclass(frozen=True, slots=True)
class Torn:
    """A line that a process did not finish, because it was killed."""

    line: int
    """Its number, from 1."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Written:
    """Lines that were appended together."""

    offset_bytes: int
    """Where they begin in the file."""
    rows: bytes
    chain: str
    """The chain of the last line of the file."""

    @property
    def end_bytes(self) -> int:
        """Where they end in the file."""
        return self.offset_bytes + len(self.rows)


class LockedChain:
    """A chained file that this process has locked.

    Args:
        descriptor: The open file.
        path: Its path, for errors.
        kind: What stands before the first line.
    """

    def __init__(self, descriptor: int, path: Path, kind: str) -> None:
        self._descriptor = descriptor
        self._path = path
        self._kind = kind

    def append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        """Append lines, all in one write; they are on the disk when this returns. See `append`."""
        size_bytes = self._size_bytes()
        with self._cut_back_to(size_bytes):
            self.write(entries)
            sync_data(self._descriptor, self._path)

    def write(self, entries: Sequence[Mapping[str, Any] | bytes]) -> Written:
        """Append lines, all in one write, that survive a killed process, but not a power loss until they are synced.

        Args:
            entries: As in `append`; or as JSON, in ASCII and with at least one member.
        """
        size_bytes = self._size_bytes()
        self._check_kind()
        chain, repair = self._end(size_bytes)
        rows = [repair]
        for entry in entries:
            row, chain = _linked(_object_of(entry), chain)
            rows.append(row)
        written = Written(size_bytes, b"".join(rows), chain)
        with naming(self._path), self._cut_back_to(size_bytes):
            os.lseek(self._descriptor, 0, os.SEEK_END)
            write_all(self._descriptor, written.rows)
        if size_bytes == 0:
            sync_directory(self._path)
        return written

    def _size_bytes(self) -> int:
        return os.fstat(self._descriptor).st_size

    @contextmanager
    def _cut_back_to(self, size_bytes: int) -> Iterator[None]:
        """Remove what a failing block has written."""
        try:
            yield
        except OSError:
            with suppress(OSError):  # what is left would be a torn line, which is told, too
                os.ftruncate(self._descriptor, size_bytes)
            raise

    def _check_kind(self) -> None:
        """Refuse a chained file of another kind, which is told by its first line unless that was torn."""
        with naming(self._path):
            first = read_at(self._descriptor, MAX_LINE_BYTES, 0).partition(b"\n")[0]
        if _END.search(first) and _following(first, _before_the_first(self._kind)) is None:
            raise refusal(self._path, "its first line is that of a file of another kind, or altered; move it away")

    def _end(self, size_bytes: int) -> tuple[str, bytes]:
        """Return the chain of the last line, and what has to be written first if something unfinished follows it."""
        chain, rest = self._tail(size_bytes)
        if not rest:
            return chain, b""
        if (own_chain := _following(rest, chain)) is not None:  # only its line end is missing
            return own_chain, b"\n"
        note = {_TORN_BYTES: len(rest), _TORN_SHA256: hashlib.sha256(rest).hexdigest()}
        row, chain = _linked(_text(note), chain)
        return chain, b"\n" + row

    def _tail(self, size_bytes: int) -> tuple[str, bytes]:
        """Return the chain of the last finished line, and what follows that line."""
        for tail_bytes in (_TAIL_BYTES, _LONGEST_TORN_BYTES + _END_BYTES + 1):
            start = max(0, size_bytes - tail_bytes)
            with naming(self._path):
                tail = read_at(self._descriptor, size_bytes - start, start)
            ends = [*_LINE_END.finditer(tail)]
            if ends:
                return ends[-1][1].decode(), tail[ends[-1].end() :]
            if start == 0 and _may_be_torn(tail):
                return _before_the_first(self._kind), tail
        raise refusal(self._path, "it does not end as such a file does (`nomyo trust verify`); move it away")


Found: TypeAlias = Link | Torn


@contextmanager
def locked_chain(path: Path, kind: str) -> Iterator[LockedChain]:
    """Lock a chained file for a block; it is created if it does not exist.

    Raises:
        SecurityError: Others could have changed the file.
        OSError: It cannot be opened or locked; a TimeoutError if another process does not give the lock back.
    """
    with locked_file(path) as descriptor:
        yield LockedChain(descriptor, path, kind)


def append(path: Path, kind: str, entries: Sequence[Mapping[str, Any]]) -> None:
    """Append lines to a chained file, all in one write; they are on the disk when this returns.

    It takes some milliseconds: call it in a thread, with all entries that have gathered.

    Args:
        path: The file; it is created if it does not exist.
        kind: What the file holds, with a version. A file is only ever used with one kind.
        entries: Objects of JSON's types, without a member "chain", "torn_bytes" or "torn_sha256". No content, keys or
            tokens.

    Raises:
        ValueError: An entry is too long (64 KiB), or has a member of these names.
        SecurityError: Others could have changed the file, or its last line is not of such a file.
        OSError: The file cannot be written; none of the entries is in it.
    """
    with locked_chain(path, kind) as chained:
        chained.append(entries)


def links(path: Path, kind: str) -> Iterator[Found]:
    """Yield the lines of a chained file, each verified before it is yielded.

    The file is read line by line, so its length does not matter. Lines that are appended meanwhile may be yielded, too.

    Raises:
        SecurityError: A line does not follow from those before it; the message names the line. Or others could have
            changed the file.
        OSError: It cannot be read.
    """
    with private_file(path) as descriptor, naming(path), open(descriptor, "rb", closefd=False) as file:
        yield from verified(file, path, kind)


def verified(file: BinaryIO, path: Path, kind: str) -> Iterator[Found]:
    """Do what `links` does with an open file: a copy that somebody else sent, for example.

    Args:
        file: The file, at its beginning.
        path: Its path, for errors.
        kind: What the file holds.

    Raises:
        SecurityError: A line does not follow from those before it.
        OSError: The file cannot be read.
    """
    chain = _before_the_first(kind)
    torn, torn_line = b"", 0
    for number, line in enumerate(_lines(file), 1):
        following = _following(line.removesuffix(b"\n"), chain)
        if following is None:  # only a later line can tell whether it was torn or altered
            torn, torn_line = torn + line, torn_line or number
            if len(torn) > _LONGEST_TORN_BYTES:
                raise _broken(path, torn_line)
            continue
        entry = _entry(line)
        if entry is None or not _explains(entry, torn):
            raise _broken(path, torn_line or number)
        yield Torn(torn_line, len(torn) - 1) if torn else Link(number, entry, following)
        chain, torn, torn_line = following, b"", 0
    if torn.endswith(b"\n") or (torn_line == 1 and not _may_be_torn(torn.partition(b"\n")[0])):
        raise _broken(path, torn_line)
    if torn:
        yield Torn(torn_line, len(torn))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield lines; what is too long for one comes in pieces, which follow from nothing."""
    while line := file.readline(MAX_LINE_BYTES):
        yield line


def _explains(entry: Mapping[str, Any], torn: bytes) -> bool:
    """Return whether a line tells of exactly the torn lines before it: of none, if there are none."""
    if not torn:
        return not _RESERVED & entry.keys()
    torn = torn.removesuffix(b"\n")
    return entry == {_TORN_BYTES: len(torn), _TORN_SHA256: hashlib.sha256(torn).hexdigest()}


def _may_be_torn(text: bytes) -> bool:
    """Return whether a text can be the beginning of a file's first line; somebody's short file is not one."""
    if not text.strip(b"\0"):  # empty, or zeros that a power loss left
        return True
    if not text.startswith(b"{") or b"\n" in text:
        return False
    return _END.search(text) is not None or _entry(text) is None


def _entry(line: bytes) -> dict[str, Any] | None:
    """Return what was appended with a line; None if the line is not of the form that `append` writes."""
    try:
        entry = parse_unique_json(line.decode("ascii"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    entry.pop("chain", None)
    return entry


def _following(line: bytes, chain: str) -> str | None:
    """Return a line's own chain, without its line end, if it follows from the chain before it."""
    found = _END.search(line[-_END_BYTES:])
    if found is None:
        return None
    own_chain = found[1].decode()
    return own_chain if own_chain == _digest(chain, line[:-_END_BYTES] + b"}") else None


def _object_of(entry: Mapping[str, Any] | bytes) -> bytes:
    """Return an entry as it is written, without its chain.

    Raises:
        ValueError: As in `append`.
    """
    if not isinstance(entry, bytes) and (not entry or not _RESERVED.isdisjoint(entry)):
        raise ValueError(f"an entry must have members, and none of them may be called {', '.join(sorted(_RESERVED))}")
    text = entry if isinstance(entry, bytes) else _text(entry)
    if len(text) + _END_BYTES > MAX_LINE_BYTES:
        raise ValueError(f"an entry must not be longer than {MAX_LINE_BYTES - _END_BYTES} bytes")
    return text


def _linked(text: bytes, chain: str) -> tuple[bytes, str]:
    """Return an object as a line of the file, and its chain."""
    own_chain = _digest(chain, text)
    return text[:-1] + f',"chain":"{own_chain}"}}\n'.encode(), own_chain


def _digest(chain: str, text: bytes) -> str:
    return hashlib.sha256(chain.encode() + text).hexdigest()


def _before_the_first(kind: str) -> str:
    return hashlib.sha256(kind.encode()).hexdigest()


def _text(entry: Mapping[str, Any]) -> bytes:
    return ascii_json(entry, separators=(",", ":")).encode("ascii")


def _broken(path: Path, line: int) -> SecurityError:
    return SecurityError(f"{path}: line {line} does not follow from the lines before it: somebody altered the file")
