"""Reads the rows of an output, sealed or not, one after the other in bounded memory.

Opening a row takes a private RSA operation (1.5 ms with 4096 bits), so several threads open rows ahead of the reader.
"""

from __future__ import annotations

import json
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from nomyo import _core
from nomyo._threads import submit_or_run
from nomyo._warn import warn
from nomyo.batch.header import sealed_for
from nomyo.batch.input_lines import MAX_ROW_BYTES, NumberedLines
from nomyo.batch.records import is_remnant, whole_row
from nomyo.batch.seal_key import open_private_key
from nomyo.batch.sealed import open_row
from nomyo.errors import BatchError, SecurityError
from nomyo.exchange.tracebacks import clears_traceback
from nomyo.memory import SecureBuffer, warn_of_unlocked

_THREADS: Final = min(os.cpu_count() or 1, 16)
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True)
class Damaged:
    """A line of an output that is not a row."""

    number: int
    """The line's number in the output, from 1."""
    reason: str
    torn: bool = False
    """Whether it is a last row cut short, as a killed batch leaves it. If the batch goes on, it sends the row again."""


Opened = SecureBuffer | bytes | Damaged
"""A row in OpenAI's format, with its line end. If it was sealed, it is a SecureBuffer, which the consumer closes."""


@clears_traceback
def read(
    output: str | os.PathLike[str],
    *,
    key_dir: str | os.PathLike[str] | None = None,
    private_key: str | os.PathLike[str] | None = None,
    password: str | SecureBuffer | None = None,
    damaged: Callable[[Damaged], object] | None = None,
) -> Iterator[dict[str, Any]]:
    """Read the rows of an output in the order in which they stand there, sealed or not.

    Args:
        output: The output of a batch. If the batch is still running, the rows that are done are read.
        key_dir: The directory of the key pair that the output is sealed for.
        private_key: The PEM file of the private key, instead of `key_dir`.
        password: The password of the private key.
        damaged: Called for each line that is not a row, and for a last row that a kill tore. If it is None, a damaged
            line raises a BatchError, and a torn last row causes a warning.

    Returns:
        An iterator of rows in OpenAI's format, as ordinary Python objects. Sealed rows lie in locked memory before they
        become objects. The private key is wiped at the end.

    Raises:
        BatchError: During iteration: a line is damaged, was sealed for another key, or was altered.
        SecurityError: The private key cannot be opened, or the output is sealed for another key.
        ValueError: The output is sealed and no private key is given, or both are given; or the output is a device.
        OSError: A file cannot be read.
    """
    path = Path(output)
    check_kind(path)
    key = open_private_key(key_dir, private_key, password)
    check_key(path, key)
    return _objects(path, key, damaged or _raise)


def check_kind(output: Path) -> None:
    """Refuse a device, which may have no end. A pipe is read as a file is.

    Raises:
        ValueError: `output` is a device.
        OSError: `output` does not exist.
    """
    mode = output.stat().st_mode
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise ValueError(f"{output} is a device, not the output of a batch")


def check_key(output: Path, key: _core.PrivateKey | None) -> None:
    """Check that a key is the one that the output is sealed for. Without `OUTPUT.batch` nothing is checked.

    Raises:
        SecurityError: The output is sealed for another key.
        ValueError: The output is sealed, and `key` is None.
    """
    fingerprint = sealed_for(output)
    if fingerprint is None:
        return
    if key is None:
        raise ValueError(f"{output} is sealed for {fingerprint}: key_dir or private_key is needed")
    if key.public_key.fingerprint != fingerprint:
        raise SecurityError(f"{output} is sealed for {fingerprint}, and this key is {key.public_key.fingerprint}")


def opened_rows(file: BinaryIO, key: _core.PrivateKey | None) -> Iterator[Opened]:
    """Yield the rows of an output; sealed ones are opened with `key`.

    Raises:
        ValueError: A row is sealed, and `key` is None.
        OSError: The file cannot be read.
    """
    return map_ahead(lambda line: _opened(*line, key), NumberedLines(file, MAX_ROW_BYTES))


def _opened(number: int, line: bytes | None, key: _core.PrivateKey | None) -> Opened:
    whole = None if line is None else whole_row(line)
    if whole is None:
        torn = line is not None and is_remnant(line)
        return Damaged(
            number, "the row is torn: a batch was killed, or is under way" if torn else "it is not a row", torn
        )
    row, mark = whole
    if not mark.sealed:
        return row if _is_json(row) else Damaged(number, "it is not JSON, or nested too deep")
    if key is None:
        raise ValueError(f"line {number} is sealed: key_dir or private_key is needed")
    try:
        opened = open_row(row, key)
    except SecurityError as error:
        return Damaged(number, str(error))
    warn_of_unlocked(True, opened, stacklevel=1)
    return opened


def _objects(
    path: Path, key: _core.PrivateKey | None, damaged: Callable[[Damaged], object]
) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        try:
            for row in map_ahead(
                lambda line: _object(line[0], _opened(*line, key)), NumberedLines(file, MAX_ROW_BYTES)
            ):
                if isinstance(row, Damaged):
                    damaged(row)
                else:
                    yield row
        finally:
            if key is not None:
                key.wipe()


def _object(number: int, row: Opened) -> dict[str, Any] | Damaged:
    """Return a row as a Python object. The parser's errors hold the whole line, so they do not leave this function."""
    if isinstance(row, Damaged):
        return row
    content = row if isinstance(row, bytes) else bytes(row)
    if isinstance(row, SecureBuffer):
        row.close()
    try:
        parsed: dict[str, Any] = json.loads(content)
    except (ValueError, RecursionError):
        return Damaged(number, "it is not JSON, or nested too deep")
    return parsed


def _is_json(row: bytes) -> bool:
    """Return whether a row can be parsed. The parser's errors hold the whole row, so they stay in this function."""
    try:
        json.loads(row)
    except (ValueError, RecursionError):
        return False
    return True


def _raise(row: Damaged) -> None:
    if not row.torn:
        raise BatchError(f"line {row.number} of the output cannot be read: {row.reason}")
    warn(f"line {row.number} of the output was left out: {row.reason}", stacklevel=3)


def map_ahead(work: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
    """Apply `work` to items in threads, some items ahead of the consumer; yield the results in order."""
    waiting: deque[Future[_Out]] = deque()  # emptied at the end: a traceback through this frame must not hold rows
    with ThreadPoolExecutor(_THREADS, "nomyo-batch-open") as threads:
        try:
            for item in items:
                waiting.append(submit_or_run(lambda: threads, partial(work, item)))
                del item
                if len(waiting) > 2 * _THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            while waiting:
                waiting.pop().cancel()
