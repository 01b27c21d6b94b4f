"""How far a batch is, as a bar in a terminal; needs rich.

Rules:

- Only a command in the foreground of its terminal draws the bar, and each drawing asks anew (`cli/foreground.py`).
  Messages are written in the background, too, as plain lines.
- The cursor stays visible, so a batch that is stopped (Ctrl-Z) or killed leaves nothing to restore.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TextIO

from nomyo._plurals import counted
from nomyo._terminal_text import visible_line
from nomyo.batch.progress import Figures
from nomyo.cli.foreground import in_foreground

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class BarProgress:
    """A bar in a terminal.

    Args:
        stream: The terminal.
        name: The beginning of each line that is written above the bar.
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
            counts = f"{counted(figures.failed, 'error')}  {counted(figures.tokens, 'token')}"
            words = f"{figures.rows_per_s:,.1f}/s  {counts}"
            self._bar.update(self._task, completed=figures.done, figures=words)

    def tell(self, words: str) -> None:
        """Write a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(f"{self._name}: {visible_line(words)}", markup=False, highlight=False)

    def end(self) -> None:
        """Leave the bar as it is."""
        if self._bar is not None:
            self._bar.stop()


def _rich_bar(stream: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TimeRemainingColumn
    from rich.table import Column
    from rich.text import Text

    column: Any = ProgressColumn  # mypy also looks at this if rich is not installed
    console: Any = Console

    class FiguresColumn(column):  # type: ignore[misc]
        """Gives way first if a terminal is narrow."""

        def render(self, task: Any) -> Text:
            return Text(task.fields["figures"], no_wrap=True, overflow="ellipsis")

    class ForegroundConsole(console):  # type: ignore[misc]
        """A terminal that takes no drawing in the background: rich draws a bar where it may move the cursor."""

        _is_interactive = False

        @property
        def is_interactive(self) -> bool:
            """Whether lines may be written above a bar."""
            return self._is_interactive and in_foreground(stream.fileno())

        @is_interactive.setter
        def is_interactive(self, value: bool) -> None:
            self._is_interactive = value

        @property
        def is_dumb_terminal(self) -> bool:
            """Whether a bar may not be drawn anew. The constructor asks for its colours, wherever it was started."""
            background = self._is_interactive and not in_foreground(stream.fileno())
            return background or super().is_dumb_terminal

        def show_cursor(self, show: bool = True) -> bool:
            """Leave the cursor as it is."""
            return False

    return Progress(
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        BarColumn(bar_width=20),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        FiguresColumn(),
        console=ForegroundConsole(file=stream),
    )
