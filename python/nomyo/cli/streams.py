"""The standard streams of all commands: failures of stdout are reported as errors, failures of stderr end nothing.

Rules:

- stdout carries the result. If it cannot be written, an OSError names it. Nothing waits in a buffer until the
  interpreter ends, which could only report a failure by a traceback.
- stderr carries messages. If it cannot be written (a full disk, a reader that went away, a lost terminal), they are
  dropped. A reader that stops reading is waited for once, for half a second.
- Messages on stderr, which quote file names and words of servers, hold nothing that a terminal would obey.
- On both, characters that the encoding lacks are written as escapes (`backslashreplace`).
- A console of Windows is written to through Python's own stream: it would take bytes as text of an old code page.
- A stream that was closed before the start accepts everything, and its descriptor is /dev/null. Otherwise the next file
  that is opened would get the descriptor's number, and everything that is written to the stream.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from nomyo._finite_json import ascii_json
from nomyo._terminal_text import visible_lines

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Name(str):
    """The name of a stream in an error, told apart from a file of that name."""

    __slots__ = ()


STDOUT: Final = _Name("stdout")
_HAS_CONSOLES: Final = os.name == "nt"
_PATIENCE_MS: Final = 500
# What poll(2) promises of a pipe that it calls writable, which keeps lines whole, too. Of a terminal it says that there
# is any room: Linux gives it out by 256 bytes (tty_buffer.c), and a line feed may take two.
_PIPE_PIECE_BYTES: Final = getattr(select, "PIPE_BUF", 512)
_TERMINAL_PIECE_BYTES: Final = 128


@contextmanager
def standard_streams() -> Iterator[None]:
    """Replace the standard streams by those of this module while the block lasts."""
    before = sys.stdout, sys.stderr
    _occupy_closed_descriptors()
    sys.stdout = _text(_Stdout(sys.stdout))
    sys.stderr = _text(_Stderr(sys.stderr))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def stdout_bytes() -> _Stdout:
    """Return a binary stream for stdout: that of `standard_streams`, or that of `sys.stdout`."""
    ours = getattr(sys.stdout, "buffer", None)
    return ours if isinstance(ours, _Stdout) else _Stdout(sys.stdout)


def write_stderr(text: str) -> None:
    """Write lines to stderr, with escapes for what a terminal would obey; never fails."""
    if sys.stderr is None:  # `print` would write to stdout then
        return
    with suppress(Exception):
        sys.stderr.write(f"{visible_lines(text)}\n")
        sys.stderr.flush()


def write_failure_as_json(kind: str, message: str, **more: Any) -> None:
    """Write a failure to stderr as one line of JSON; never fails.

    Args:
        kind: The name of the error's class.
        message: What went wrong, in words.
        more: What else is known of it.
    """
    write_stderr(ascii_json({"error": {"type": kind, "message": message, **more}}))


def is_console(descriptor: int | None) -> bool:
    """Return whether a descriptor is a console of Windows, whose bytes are text of an old code page, not UTF-8."""
    return _HAS_CONSOLES and descriptor is not None and os.isatty(descriptor)


def is_stdout_error(error: BaseException) -> bool:
    """Return whether an error means that stdout cannot be written."""
    return isinstance(error, OSError) and error.filename is STDOUT


@contextmanager
def after_work(note: str) -> Iterator[None]:
    """Add a note on finished work to an error of stdout, which concerns only the work's report."""
    try:
        yield
    except OSError as error:
        if is_stdout_error(error):
            error.add_note(note)
        raise


class _Raw(io.RawIOBase):
    """Writes bytes to a stream's descriptor, or to the stream itself if it has none of its own or is a Windows console.

    Args:
        stream: None takes everything and is nowhere.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._descriptor = _descriptor_of(stream)
        self._stream_encoding = _encoding_of(stream)
        self._written_to = None if is_console(self._descriptor) else self._descriptor
        self.encoding = "utf-8" if self._written_to is None else self._stream_encoding
        """The encoding of the text that is written here."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self._descriptor is None:
            raise io.UnsupportedOperation("fileno")
        return self._descriptor

    def isatty(self) -> bool:
        if self._descriptor is not None:
            return os.isatty(self._descriptor)
        ask = getattr(self._stream, "isatty", None)
        return callable(ask) and bool(ask())

    def _forward(self, data: memoryview) -> None:
        """Write to the stream itself, which accepts text."""
        if self._stream is None:
            return
        text = self._decoder.decode(data)
        self._stream.write(text.encode(self._stream_encoding, "backslashreplace").decode(self._stream_encoding))
        flush = getattr(self._stream, "flush", None)
        if flush is not None:
            flush()


class _Stdout(_Raw):
    """stdout, to which results are written."""

    def write(self, data: Buffer) -> int:
        """Write all of it.

        Raises:
            OSError: It cannot be written; `filename` is STDOUT.
        """
        with memoryview(data) as given, given.cast("B") as view:
            fault = self._fault_of_writing(view)
            if fault is None:
                return len(view)
        raise fault  # outside of `except`: the context of an error would keep the written bytes alive

    def _fault_of_writing(self, view: memoryview) -> OSError | None:
        try:
            self._write_all(view)
        except OSError as error:
            return OSError(error.errno or errno.EIO, error.strerror or str(error), STDOUT)
        except ValueError as error:  # a stream of the program that was closed
            return OSError(errno.EBADF, str(error), STDOUT)
        return None

    def _write_all(self, view: memoryview) -> None:
        if self._written_to is None:
            self._forward(view)
            return
        while view:
            try:
                view = view[os.write(self._written_to, view) :]
            except BlockingIOError:  # O_NONBLOCK belongs to the pipe, and any process that has it may set it
                select.select([], [self._written_to], [])


class _Stderr(_Raw):
    """stderr, to which messages are written."""

    _stalled = False

    def write(self, data: Buffer) -> int:
        """Write as much as possible. Never fails, and does not wait for a reader that stopped."""
        with memoryview(data) as given, given.cast("B") as view:
            with suppress(Exception):
                self._write_what_fits(view)
            return len(view)

    def _write_what_fits(self, view: memoryview) -> None:
        if self._written_to is None:
            self._forward(view)
            return
        piece_bytes = _TERMINAL_PIECE_BYTES if self.isatty() else _PIPE_PIECE_BYTES
        while view and self._takes_more(self._written_to):
            view = view[os.write(self._written_to, view[:piece_bytes]) :]

    def _takes_more(self, descriptor: int) -> bool:
        if not hasattr(select, "poll"):  # Windows
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        self._stalled = not poll.poll(0 if self._stalled else _PATIENCE_MS)
        return not self._stalled


def _text(raw: _Raw) -> io.TextIOWrapper:
    binary: Any = raw  # has no `name`, which the stubs want and nothing reads
    return io.TextIOWrapper(binary, encoding=raw.encoding, errors="backslashreplace", write_through=True)


def _descriptor_of(stream: Any) -> int | None:
    """Return the descriptor of a stream that is the process's own, and unbuffer it; None for any other stream."""
    if stream is None or stream not in (sys.__stdout__, sys.__stderr__):
        return None
    try:
        stream.flush()
        descriptor: int = stream.fileno()
    except (OSError, ValueError):
        return None
    return descriptor


def _encoding_of(stream: Any) -> str:
    encoding: Any = getattr(stream, "encoding", None)
    try:
        return codecs.lookup(encoding).name
    except (LookupError, TypeError):
        return "utf-8"


def _occupy_closed_descriptors() -> None:
    """Put /dev/null in the place of each standard stream that was closed before the start."""
    for number, stream in enumerate((sys.__stdin__, sys.__stdout__, sys.__stderr__)):
        if stream is None and not _is_open(number):
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # open(2): the lowest number that is free


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
