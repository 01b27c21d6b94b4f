"""The rows of an output, sealed or not, one after the other in bounded memory.

Opening a row takes a private RSA operation (1.5 ms with 4096 bits), so several threads open rows ahead of the reader.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from nomyo import _core
from nomyo.batch.header import sealed_for
from nomyo.batch.lines import Lines
from nomyo.batch.records import whole_row
from nomyo.batch.seal_key import open_private_key
from nomyo.batch.sealed import open_row
from nomyo.errors import BatchError, SecurityError
from nomyo.exchange.discreet import discreet
from nomyo.memory import SecureBuffer, warn_of_unlocked

LONGEST_ROW_BYTES: Final = 320 * 1024 * 1024
"""An answer has at most 64 MiB, in JSON of ASCII three times as much, and in base64 a third more."""
_THREADS: Final = min(os.cpu_count() or 1, 16)
_In = TypeVar("_In")
_Out = TypeVar("_Out")


@dataclass(frozen=True, slots=True)
class Damaged:
    """A line of an output that is no row of it."""

    number: int
    """Of the line in the output, from 1."""
    reason: str
    torn: bool = False
    """Whether it is a last line without an end, as a killed batch leaves it: what goes on with the batch mends it."""


Opened = SecureBuffer | bytes | Damaged
"""A row in OpenAI's format, with its end of line: in a SecureBuffer where it was sealed, which its taker closes."""


@discreet
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
        output: Of a batch; one that is under way has the rows that are done.
        key_dir: The directory of the key pair that it is sealed for.
        private_key: The PEM of its private key, instead.
        password: What the private key is encrypted with.
        damaged: Is told of each line that is no row, and of a last one that a kill tore, instead of an error.

    Returns:
        An iterator of rows in OpenAI's format, as ordinary Python objects. A last row that a kill tore is not among
        them. Sealed ones are in locked memory before they become objects; the private key is wiped at the end.

    Raises:
        BatchError: While it is read: a line is damaged, was sealed for another key, or is not what was sealed.
        SecurityError: The private key cannot be opened, or is not the one that the output is sealed for.
        ValueError: It is sealed, and no private key is given, or two are.
        OSError: A file cannot be read.
    """
    path = Path(output)
    key = open_private_key(key_dir, private_key, password)
    check_key(path, key)
    return _as_objects(path, key, damaged or _raise)


def check_key(output: Path, key: _core.PrivateKey | None) -> None:
    """Hold a key to the one that an output is sealed for, where `OUTPUT.batch` is there to say so.

    Raises:
        SecurityError: It is another one.
        ValueError: There is none.
    """
    fingerprint = sealed_for(output)
    if fingerprint is None:
        return
    if key is None:
        raise ValueError(f"{output} is sealed for {fingerprint}: key_dir or private_key is needed")
    if key.public_key.fingerprint != fingerprint:
        raise SecurityError(f"{output} is sealed for {fingerprint}, and this key is {key.public_key.fingerprint}")


def opened_rows(file: BinaryIO, key: _core.PrivateKey | None) -> Iterator[Opened]:
    """Yield the lines of an output, opened; the key opens those that are sealed.

    Raises:
        ValueError: A row is sealed, and there is no key.
        OSError: The file cannot be read.
    """
    return _ahead(lambda line: _opened(*line, key), Lines(file, LONGEST_ROW_BYTES))


def _opened(number: int, line: bytes | None, key: _core.PrivateKey | None) -> Opened:
    whole = None if line is None else whole_row(line)
    if whole is None:
        torn = line is not None and not line.endswith(b"\n")
        return Damaged(number, "the row is torn: a batch was killed, or is under way" if torn else "it is no row", torn)
    row, mark = whole
    if not mark.sealed:
        return row if _is_json(row) else Damaged(number, "it is no JSON, or too deep")
    if key is None:
        raise ValueError(f"line {number} is sealed: key_dir or private_key is needed")
    try:
        opened = open_row(row, key)
    except SecurityError as error:
        return Damaged(number, str(error))
    warn_of_unlocked(True, opened, stacklevel=1)
    return opened


def _as_objects(
    path: Path, key: _core.PrivateKey | None, damaged: Callable[[Damaged], object]
) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        try:
            for row in _ahead(lambda line: _object(line[0], _opened(*line, key)), Lines(file, LONGEST_ROW_BYTES)):
                if isinstance(row, Damaged):
                    damaged(row)
                else:
                    yield row
        finally:
            if key is not None:
                key.wipe()


def _object(number: int, row: Opened) -> dict[str, Any] | Damaged:
    """Return a row as an object; errors of the parser hold the whole line, and stay here."""
    if isinstance(row, Damaged):
        return row
    content = row if isinstance(row, bytes) else bytes(row)
    if isinstance(row, SecureBuffer):
        row.close()
    try:
        parsed: dict[str, Any] = json.loads(content)
    except (ValueError, RecursionError):
        return Damaged(number, "it is no JSON, or too deep")
    return parsed


def _is_json(row: bytes) -> bool:
    """Return whether a row can be parsed; the parser's errors hold the whole of it, and stay here."""
    try:
        json.loads(row)
    except (ValueError, RecursionError):
        return False
    return True


def _raise(row: Damaged) -> None:
    if not row.torn:
        raise BatchError(f"line {row.number} of the output cannot be read: {row.reason}")


def _ahead(work: Callable[[_In], _Out], items: Iterable[_In]) -> Iterator[_Out]:
    """Do work on items in threads, some items ahead; yield what comes of it in their order."""
    waiting: deque[Future[_Out]] = deque()  # rows; a traceback through this frame must not hold them
    with ThreadPoolExecutor(_THREADS, "nomyo-batch-open") as threads:
        try:
            for item in items:
                waiting.append(threads.submit(work, item))
                del item
                if len(waiting) > 2 * _THREADS:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            while waiting:
                waiting.pop().cancel()
