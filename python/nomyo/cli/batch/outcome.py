"""What a run of `nomyo batch` says at its end, and its exit code."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from nomyo._finite_json import ascii_json
from nomyo._plurals import counted
from nomyo.batch.progress import duration
from nomyo.batch.summary import Summary
from nomyo.cli.batch.figure_table import aligned
from nomyo.cli.command_app import report
from nomyo.cli.quiet_imports import INTERRUPTED
from nomyo.cli.streams import after_work

ROWS_FAILED: Final = 3
LIMIT_REACHED: Final = 4
_REASONS_SHOWN: Final = 3
_SHOW_ERRORS: Final = "grep -v '\"error\":null}$'"


def show_summary(name: str, summary: Summary, journal: Path, seconds: float, *, sealed: bool, as_json: bool) -> int:
    """Print the state of a batch, and return the exit code.

    Args:
        name: The command, for messages.
        summary: The state.
        journal: The file with its rows in OpenAI's batch format: the output itself, or the journal of a table.
        seconds: How long the run took.
        sealed: Whether rows are sealed.
        as_json: Whether to print JSON.
    """
    if as_json:
        with after_work("the output has every row that was done"):
            reasons = dict(summary.reasons)
            figures = {name: value for name, value in dataclasses.asdict(summary).items() if name != "table"}
            print(ascii_json({**figures, "reasons": reasons, "left": summary.left}))
    else:
        report(name, f"{counted(summary.succeeded, 'row')} answered, {summary.failed:,} failed, {summary.left:,} left")
        if summary.limit is not None:
            report(name, f"ended by {summary.limit}: the same command with a larger one goes on")
        for line in (*figure_lines(summary, seconds), *failure_lines(summary, journal, sealed=sealed)):
            report(name, line)
    if summary.left:
        return INTERRUPTED if summary.limit is None else LIMIT_REACHED
    return ROWS_FAILED if summary.failed else 0


def figure_lines(summary: Summary, seconds: float) -> Iterator[str]:
    """Yield a table of what the rows of this run took; nothing if it did none."""
    rows = summary.succeeded + summary.failed - summary.done_before
    if rows > 0:
        figures = {
            "tokens in": summary.prompt_tokens,
            "tokens out": summary.completion_tokens,
            "cost of all runs": summary.cost,
            "time": duration(seconds),
            "rows/s": round(rows / seconds, 1),
        }
        yield from (f"  {line}" for line in aligned(figures))


def failure_lines(summary: Summary, journal: Path, *, sealed: bool) -> Iterator[str]:
    """Yield lines that say why rows failed, how to see these rows, and how to send them again."""
    if not summary.failed:
        return
    named = summary.reasons[:_REASONS_SHOWN]
    for reason, rows in named:
        yield f"  {rows:,} failed: {reason}"
    others = summary.failed - sum(rows for _, rows in named)
    if others:
        yield f"  {others:,} failed{' for other reasons, or' if named else ''} in an earlier run"
    name = shlex.quote(f"./{journal}" if str(journal).startswith("-") else str(journal))  # it is no option of grep
    show = f"nomyo batch open {name} --key-dir DIR | {_SHOW_ERRORS}" if sealed else f"{_SHOW_ERRORS} {name}"
    yield f"these rows: {show}"
    yield "to send them again: the same command with --retry-errors (bad rows fail each time)"
