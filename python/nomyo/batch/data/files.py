"""The files of an input: one file, all files of a folder or of a glob, or stdin.

What cannot be read twice, or not from any place, is copied into a file without a name in the journal's folder: stdin,
and Parquet and Arrow files within gzip or Zstandard. Such a copy holds content, and is gone when the process ends.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import os
import select
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

from nomyo.batch.data.compressed import decompressed
from nomyo.batch.data.formats import JSONL, NAMES, Format, format_of
from nomyo.batch.input_lines import open_input
from nomyo.errors import BatchError

_T = TypeVar("_T")
STREAM: Final = Path("-")
_CHUNK_BYTES: Final = 1 << 20
_LOOK_S: Final = 0.25
_CHANGED: Final = "changed while it was read: its rows and the output's may not belong together"


class StoppedError(BatchError):
    """The run was stopped before its input was known."""


class DeadlineError(BatchError):
    """The deadline came before the input was known."""


@dataclass(slots=True)
class InputFile:
    """A file of an input."""

    path: Path
    name: str
    """What the rows' `custom_id` and errors call it."""
    format: Format
    copy: BinaryIO | None = field(default=None, repr=False)
    """The nameless copy that is read in its place."""
    cancelled: Callable[[], bool] = field(default=lambda: False, repr=False)
    """Returns True if nobody needs any more what the file is read for."""
    _state: tuple[int, int, int] | None = None

    @contextmanager
    def opened(self) -> Iterator[BinaryIO]:
        """Open the file, or the copy of it.

        Raises:
            ValueError: It is no regular file.
            BatchError: It changed since it was first opened. At the end of the block, too.
            OSError: It cannot be opened.
        """
        if self.copy is not None:
            self.copy.seek(0)
            yield self.copy
            return
        with open_input(self.path) as file:
            self._check_state(file)
            yield file
            self._check_state(file)

    def _check_state(self, file: BinaryIO) -> None:
        status = os.fstat(file.fileno())
        state = status.st_ino, status.st_size, status.st_mtime_ns
        if self._state not in (None, state):
            raise BatchError(f"{self.name} {_CHANGED}")
        self._state = state

    @contextmanager
    def content(self) -> Iterator[BinaryIO]:
        """Open the file, and yield what it holds, decompressed.

        Raises:
            DamagedFileError: It is cut short, or not compressed as its name says.
        """
        with self.opened() as file, decompressed(file, self.format.compression, self.name) as content:
            yield content

    def until_cancelled(self, parts: Iterable[_T]) -> Iterator[_T]:
        """Yield what a whole pass over the file takes apart.

        Raises:
            StoppedError: Nobody needs it any more.
        """
        for part in parts:
            if self.cancelled():
                raise StoppedError("stopped while the input was read: nothing was sent")
            yield part

    def digest(self) -> tuple[int, bytes]:
        """Return the file's size in bytes and its SHA-256."""
        found = hashlib.sha256()
        size_bytes = 0
        with self.opened() as file:
            for piece in self.until_cancelled(_pieces(file)):
                found.update(piece)
                size_bytes += len(piece)
        return size_bytes, found.digest()

    def make_seekable(self, folder: Path | None) -> None:
        """Copy what a compressed Parquet or Arrow file holds, because these are not read from end to end."""
        if self.format.compression is None or self.format.is_text:
            return
        with self.content() as content:
            self.copy = nameless_copy(self.until_cancelled(_pieces(content)), folder)
        self.format = replace(self.format, compression=None)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    return iter(partial(file.read, _CHUNK_BYTES), b"")


def is_glob(path: Path) -> bool:
    """Return whether a path names no file of its own and has the signs of a glob."""
    return not os.path.lexists(path) and glob.has_magic(str(path))


def files_of(path: Path) -> list[InputFile]:
    """Return the files that a path names, in the order of their names.

    Raises:
        ValueError: A glob matches nothing, a folder has no such file, or a link to another one, files differ in format,
            or a name has no format.
        OSError: The path, or a folder of it, cannot be looked at.
    """
    if is_glob(path):
        found = sorted(each for each in map(Path, glob.glob(str(path), recursive=True)) if not each.is_dir())
        if not found:
            raise ValueError(f"no file matches {path}")
        return _of_one_format(found, _common_folder(found), path)
    if path.is_dir():
        found = sorted(each for each in _files_below(path) if _is_data(each.relative_to(path)))
        if not found:
            raise ValueError(f"the folder {path} has no file of a known format ({NAMES})")
        return _of_one_format(found, path, path)
    open_input(path).close()
    return [InputFile(path, path.name, known_format(path))]


def would_take(path: Path, output: Path) -> bool:
    """Return whether an input that is a folder or a glob would have an output as one of its files."""
    real = os.path.realpath(output)
    if is_glob(path):
        pattern = os.path.join(os.path.realpath(Path.cwd()), path)
        deep = "**" in path.parts or real.count(os.sep) == pattern.count(os.sep)
        return deep and fnmatch.fnmatchcase(real, pattern)
    folder = os.path.realpath(path)
    return path.is_dir() and Path(real).is_relative_to(folder) and _is_data(Path(real).relative_to(folder))


def known_format(path: Path) -> Format:
    """Return the format of a file.

    Raises:
        ValueError: The file's name says none.
    """
    found = format_of(path)
    if found is None:
        raise ValueError(f"the name of {path} says no format: it must end with one of {NAMES}")
    return found


def stdin_file(folder: Path | None, ended: Callable[[], bool]) -> InputFile:
    """Return a nameless copy of stdin, which has JSON lines.

    Args:
        folder: Where the copy is made.
        ended: Returns True if the run was stopped. Then the copy is dropped, because it is not whole.

    Raises:
        ValueError: There is no stdin.
        StoppedError: The run was stopped.
        OSError: The disk is full or fails.
    """
    if sys.stdin is None:
        raise ValueError("there is no stdin: it was closed before the start")
    return InputFile(STREAM, "stdin", Format(JSONL), nameless_copy(_stdin_pieces(sys.stdin.buffer, ended), folder))


def _stdin_pieces(stdin: Any, ended: Callable[[], bool]) -> Iterator[bytes]:
    """Yield what comes from stdin, until the run is stopped: a pipe may bring nothing for hours."""
    piece = None
    while piece != b"":
        if ended():
            raise StoppedError("stopped while stdin was read: nothing was sent, because not all rows are known")
        if _is_ready(stdin):
            yield (piece := stdin.read1(_CHUNK_BYTES))


def _is_ready(stdin: Any) -> bool:
    """Wait a moment for bytes to read; return whether there are some, or the end."""
    if os.name == "nt":  # where select(2) is for sockets alone
        return True
    try:
        return bool(select.select([stdin], [], [], _LOOK_S)[0])
    except (OSError, ValueError):  # a stream of the program that is no file
        return True


def nameless_copy(pieces: Iterable[bytes], folder: Path | None) -> BinaryIO:
    """Write bytes into a file without a name, which is gone as soon as it is closed or the process ends.

    Raises:
        OSError: The disk is full or fails.
    """
    copy = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - the caller closes it
    try:
        copy.writelines(pieces)
        copy.flush()
    except BaseException:
        copy.close()
        raise
    return copy


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder and of its folders. A link without a target is one of them: to open it is an error.

    Raises:
        ValueError: A folder of it is a link: whoever follows links may read a file twice, or walk in a circle.
        OSError: A folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error

    for here, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [each for each in folders if not _is_hidden(each)]
        for linked in (each for each in folders if Path(here, each).is_symlink()):
            raise ValueError(
                f"{Path(here, linked)} is a link to a folder, which is not followed: name its files in a glob"
            )
        yield from (Path(here, each) for each in names)


def _is_data(path: Path) -> bool:
    """Return whether a file of a folder is a part of the input."""
    return format_of(path) is not None and not any(map(_is_hidden, path.parts))


def _is_hidden(name: str) -> bool:
    """Return whether other programs mean a file or folder to be passed over."""
    return name.startswith((".", "_"))


def _common_folder(paths: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([each.parent for each in paths]))


def _of_one_format(paths: Sequence[Path], folder: Path, asked: Path) -> list[InputFile]:
    files = [InputFile(each, each.relative_to(folder).as_posix(), known_format(each)) for each in paths]
    first = files[0]
    for other in files:
        if other.format.kind != first.format.kind:
            raise ValueError(
                f"the files of {asked} must have one format: {first.name} is {first.format.kind}, and {other.name} is"
                f" {other.format.kind}"
            )
    return files
