"""How far a batch is, on stderr: figures, and no content."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, Protocol, TextIO, runtime_checkable

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

LINE_INTERVAL_S: Final = 10.0
_LOG: Final = logging.getLogger("nomyo.batch")


@runtime_checkable
class Progress(Protocol):
    """Who is told how far a batch is."""

    def begin(self, rows: int, done: int, failed: int) -> None:
        """Hear how many rows there are, how many were done before, and how many of these failed."""

    def row(self, *, failed: bool, tokens: int) -> None:
        """Hear of a row that is done."""

    def tell(self, words: str) -> None:
        """Hear why nothing happens."""

    def end(self) -> None:
        """Hear that no more comes."""


class Silent:
    """Tells nobody anything."""

    def begin(self, rows: int, done: int, failed: int) -> None:
        """Do nothing."""

    def row(self, *, failed: bool, tokens: int) -> None:
        """Do nothing."""

    def tell(self, words: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class Logged(Silent):
    """Tells the log `nomyo.batch` why nothing happens, which a program that asks for no more should know."""

    def tell(self, words: str) -> None:
        """Log a warning."""
        _LOG.warning("%s", words)


def checked(progress: Progress | None) -> Progress:
    """Return who is told; the log, for None.

    Raises:
        TypeError: It lacks a method.
    """
    told = Logged() if progress is None else progress
    if not isinstance(told, Progress):
        raise TypeError("progress must have the methods of nomyo.batch.Progress: begin, row, tell, end")
    return told


class Figures:
    """What there is to tell."""

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
        self.tokens += tokens

    @property
    def rows_per_s(self) -> float:
        """Rows a second since the beginning of this run."""
        return (self.done - self._done_before) / max(time.monotonic() - self._began, 1e-9)

    @property
    def left(self) -> str:
        """How long the rest takes at this rate."""
        if self.done == self.rows:
            return "nothing"
        if self.done == self._done_before:
            return "unknown"
        return _duration((self.rows - self.done) / self.rows_per_s)


class PlainProgress:
    """Plain lines, so many seconds apart, for a log file or a pipe.

    Args:
        stream: Where they go.
        name: What each begins with.
        interval_s: Seconds between two.
    """

    def __init__(self, stream: TextIO, name: str, interval_s: float = LINE_INTERVAL_S) -> None:
        self._stream = stream
        self._name = name
        self._interval_s = interval_s
        self._figures = Figures(0, 0, 0)
        self._told = 0.0

    def begin(self, rows: int, done: int, failed: int) -> None:
        """Say how many rows there are."""
        self._figures = Figures(rows, done, failed)
        self._told = time.monotonic()
        before = f", {done:,} of them done before" if done else ""
        self.tell(f"{rows:,} rows{before}")

    def row(self, *, failed: bool, tokens: int) -> None:
        """Count a row, and tell of it if it is time to."""
        self._figures.add(failed=failed, tokens=tokens)
        if time.monotonic() - self._told >= self._interval_s:
            self._told = time.monotonic()
            self.tell(in_words(self._figures))

    def tell(self, words: str) -> None:
        """Write a line."""
        print(f"{self._name}: {words}", file=self._stream, flush=True)

    def end(self) -> None:
        """Write the last figures."""
        self.tell(in_words(self._figures))


class BarProgress:
    """A bar in a terminal; needs rich.

    Args:
        stream: The terminal.
        name: What the words that come between begin with.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._figures = Figures(0, 0, 0)
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def begin(self, rows: int, done: int, failed: int) -> None:
        """Show the bar."""
        self._figures = Figures(rows, done, failed)
        self._bar = _rich_bar(self._stream)
        self._task = self._bar.add_task("rows", total=rows, completed=done, figures="")
        self._bar.start()

    def row(self, *, failed: bool, tokens: int) -> None:
        """Move the bar."""
        figures = self._figures
        figures.add(failed=failed, tokens=tokens)
        if self._bar is not None and self._task is not None:
            words = f"{figures.rows_per_s:,.1f}/s  {figures.failed:,} errors  {figures.tokens:,} tokens"
            self._bar.update(self._task, completed=figures.done, figures=words)

    def tell(self, words: str) -> None:
        """Write a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(f"{self._name}: {words}", markup=False, highlight=False)

    def end(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()


def in_words(figures: Figures) -> str:
    """Return all figures as one line."""
    percent = 100 * figures.done / figures.rows if figures.rows else 100
    return (
        f"{figures.done:,} of {figures.rows:,} rows ({percent:.1f} %), {figures.failed:,} errors, "
        f"{figures.rows_per_s:,.1f} rows/s, {figures.tokens:,} tokens, left: {figures.left}"
    )


def _duration(seconds: float) -> str:
    minutes, rest_s = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest_s:02}"


def _rich_bar(stream: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    column: Any = ProgressColumn  # mypy also looks at this where rich is not installed

    class FiguresColumn(column):  # type: ignore[misc]
        """Gives way first where a terminal is narrow."""

        def render(self, task: Any) -> Text:
            return Text(task.fields["figures"], no_wrap=True, overflow="ellipsis")

    return Progress(
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        BarColumn(bar_width=20),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        FiguresColumn(),
        console=Console(file=stream),
    )
