"""Reports how far a batch is, without content."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Protocol, TextIO, runtime_checkable

from nomyo._counts import total
from nomyo._plurals import counted
from nomyo._terminal_text import visible_line
from nomyo._warn import log_named

LINE_INTERVAL_S: Final = 10.0
_LOG: Final = log_named("nomyo.batch")


@runtime_checkable
class Progress(Protocol):
    """An object to which a batch reports how far it is."""

    def begin(self, rows: int, done: int, failed: int) -> None:
        """Receive how many rows there are, how many were done before, and how many of these failed."""

    def row(self, *, failed: bool, tokens: int) -> None:
        """Receive that one more row is done."""

    def tell(self, words: str) -> None:
        """Receive the reason for a pause, in words."""

    def end(self) -> None:
        """Receive that the run has ended."""


class NoProgress:
    """Reports nothing."""

    def begin(self, rows: int, done: int, failed: int) -> None:
        """Do nothing."""

    def row(self, *, failed: bool, tokens: int) -> None:
        """Do nothing."""

    def tell(self, words: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class LogProgress(NoProgress):
    """Logs the reasons for pauses (`nomyo.batch`): the default for programs that give no progress object."""

    def tell(self, words: str) -> None:
        """Log a warning."""
        _LOG.warning("%s", words)


def guarded(progress: Progress | None) -> Progress:
    """Return a progress object whose exceptions do not end the batch; the first one is logged.

    Args:
        progress: The caller's object; None for `LogProgress`.

    Raises:
        TypeError: The object lacks a method of `Progress`.
    """
    wanted = LogProgress() if progress is None else progress
    if not isinstance(wanted, Progress):
        raise TypeError("progress must have the methods of nomyo.batch.Progress: begin, row, tell, end")
    return _GuardedProgress(wanted)


class _GuardedProgress:
    """Passes reports to another progress object, and keeps its exceptions from the batch."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._failed = False

    def begin(self, rows: int, done: int, failed: int) -> None:
        self._call(lambda: self._progress.begin(rows, done, failed))

    def row(self, *, failed: bool, tokens: int) -> None:
        self._call(lambda: self._progress.row(failed=failed, tokens=tokens))

    def tell(self, words: str) -> None:
        self._call(lambda: self._progress.tell(words))

    def end(self) -> None:
        self._call(self._progress.end)

    def _call(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001 - whatever it is, rows are being paid for
            if not self._failed:
                self._failed = True
                _LOG.warning("the batch goes on, but its progress cannot be reported: %s", type(error).__name__)


class Figures:
    """The figures of a run."""

    def __init__(self, rows: int, done: int, failed: int) -> None:
        self.rows = rows
        self.done = done
        self.failed = failed
        self.tokens = 0
        self._done_before = done
        self._began = time.monotonic()

    def add(self, *, failed: bool, tokens: int) -> None:
        """Count a row."""
        self.done += 1
        self.failed += failed
        self.tokens = total(self.tokens, tokens)

    @property
    def rows_per_s(self) -> float:
        """Rows a second since the beginning of this run."""
        return (self.done - self._done_before) / max(time.monotonic() - self._began, 1e-9)

    @property
    def left(self) -> str:
        """How long the remaining rows take at this rate, in words."""
        if self.done == self.rows:
            return "nothing"
        if self.done == self._done_before:
            return "unknown"
        return duration((self.rows - self.done) / self.rows_per_s)


class PlainProgress:
    """Writes plain lines at intervals, for a log file or a pipe.

    Args:
        stream: Where the lines are written.
        name: The beginning of each line.
        interval_s: Seconds between two lines.
    """

    def __init__(self, stream: TextIO, name: str, interval_s: float = LINE_INTERVAL_S) -> None:
        self._stream = stream
        self._name = name
        self._interval_s = interval_s
        self._figures = Figures(0, 0, 0)
        self._written_at = 0.0

    def begin(self, rows: int, done: int, failed: int) -> None:
        """Say how many rows there are."""
        self._figures = Figures(rows, done, failed)
        self._written_at = time.monotonic()
        before = f", {done:,} of them done before" if done else ""
        self.tell(f"{counted(rows, 'row')}{before}")

    def row(self, *, failed: bool, tokens: int) -> None:
        """Count a row, and write a line if the interval has passed."""
        self._figures.add(failed=failed, tokens=tokens)
        if time.monotonic() - self._written_at >= self._interval_s:
            self._written_at = time.monotonic()
            self.tell(summary_line(self._figures))

    def tell(self, words: str) -> None:
        """Write a line."""
        print(f"{self._name}: {visible_line(words)}", file=self._stream, flush=True)

    def end(self) -> None:
        """Write the last figures."""
        self.tell(summary_line(self._figures))


def summary_line(figures: Figures) -> str:
    """Return all figures as one line."""
    percent = 100 * figures.done / figures.rows if figures.rows else 100
    return (
        f"{figures.done:,} of {counted(figures.rows, 'row')} ({percent:.1f} %), {counted(figures.failed, 'error')}, "
        f"{figures.rows_per_s:,.1f} rows/s, {counted(figures.tokens, 'token')}, left: {figures.left}"
    )


def duration(seconds: float) -> str:
    """Return a time as hours, minutes and seconds."""
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest_s:02}"
