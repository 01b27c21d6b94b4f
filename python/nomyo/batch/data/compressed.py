"""Streams that are compressed with gzip (Python's own) or Zstandard (pyarrow's)."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import IO, Any, BinaryIO, Final, ParamSpec, TypeVar, cast

from nomyo.batch.data.formats import GZIP, ZSTD
from nomyo.batch.data.libraries import library
from nomyo.errors import BatchError

_P = ParamSpec("_P")
_T = TypeVar("_T")
_BUFFER_BYTES: Final = 1 << 20


class DamagedFileError(BatchError):
    """A file cannot be read to its end."""


def in_own_words(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Drop the context of each `DamagedFileError` that a function raises.

    The context holds a library's words, which may quote content.
    """

    @wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except DamagedFileError as error:
            words = str(error)
        raise DamagedFileError(words)

    return call


@contextmanager
def decompressed(file: BinaryIO, compression: str | None, name: str) -> Iterator[BinaryIO]:
    """Yield what a compressed file holds.

    Args:
        file: The file, at its beginning; it stays open.
        compression: The kind, or None.
        name: The file's name, for errors.

    Raises:
        DamagedFileError: In the block: the file is cut short, or is not compressed in this way.
    """
    if compression is None:
        yield file
        return
    pa = library("pyarrow") if compression == ZSTD else None
    damaged: tuple[type[Exception], ...] = (EOFError, zlib.error, gzip.BadGzipFile)
    try:
        yield _Decompressed(file, pa, damaged)
    except _BrokenStreamError:
        pass
    else:
        return
    raise DamagedFileError(f"{name} is cut short, or is not compressed as its name says")


class _BrokenStreamError(Exception):
    """The stream is cut short, or is not compressed in this way."""


class _Decompressed(io.BufferedReader):
    """Reads a compressed stream; raises `_BrokenStreamError` for all faults of it."""

    def __init__(self, file: BinaryIO, pa: Any, damaged: tuple[type[Exception], ...]) -> None:
        inner: Any = gzip.GzipFile(fileobj=file, mode="rb")
        if pa is not None:
            inner, damaged = pa.CompressedInputStream(pa.PythonFile(file, "r"), "zstd"), (OSError,)
        super().__init__(_Raw(inner, damaged), _BUFFER_BYTES)


class _Raw(io.RawIOBase):
    def __init__(self, inner: Any, damaged: tuple[type[Exception], ...]) -> None:
        self._inner = inner
        self._damaged = damaged

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        try:
            piece = self._inner.read(len(target))
        except self._damaged:
            piece = None
        if piece is None:
            raise _BrokenStreamError
        target[: len(piece)] = piece
        return len(piece)


@contextmanager
def compressing(descriptor: int, compression: str | None) -> Iterator[IO[bytes]]:
    """Yield a stream whose content is written to a descriptor, compressed. The same content makes the same bytes."""
    with open(descriptor, "wb", _BUFFER_BYTES, closefd=False) as file:
        if compression is None:
            yield file
        elif compression == GZIP:
            with gzip.GzipFile("", "wb", 6, file, mtime=0) as packed:
                yield cast("IO[bytes]", packed)
        else:
            pa = library("pyarrow")
            with pa.CompressedOutputStream(pa.PythonFile(file, "w"), "zstd") as packed:
                yield packed
