"""What became of a batch so far, from its output alone: rows, tokens, cost, and errors by kind. It holds no content.

Sealed rows are not opened: they show whether they failed, and their tokens if the batch had a budget.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from nomyo.batch.budget import Budget
from nomyo.batch.data.source import journal_of
from nomyo.batch.error_codes import OTHER, ErrorCodes
from nomyo.batch.input_lines import output_lines
from nomyo.batch.output_reader import check_kind
from nomyo.batch.records import Mark, is_remnant, whole_row
from nomyo.batch.row_tokens import RowTokens
from nomyo.errors import BatchError

SEALED: Final = "sealed"
JOURNALS: Final = "_journal"
"""The folder, within the output of a cluster's job on tables, with the journals of its parts."""
_CODE: Final = re.compile(r"[a-z_]{1,60}")


@dataclass(slots=True)
class Report:
    """The figures of an output."""

    rows: int = 0
    """Rows that have an outcome."""
    failed: int = 0
    """Rows of these whose outcome is an error."""
    damaged: int = 0
    """Lines that are no rows."""
    torn: bool = False
    """Whether the last row is cut short, as a killed batch leaves it."""
    tokens: RowTokens = field(default_factory=RowTokens)
    errors: ErrorCodes = field(default_factory=ErrorCodes)
    """Rows that failed, by the code of their error; `sealed` for sealed rows."""

    @property
    def answered(self) -> int:
        """Rows that hold an answer."""
        return self.rows - self.failed

    def cost(self, prices: Budget) -> float | None:
        """Return what the rows cost; None without prices, or if sealed rows do not show their tokens."""
        return None if self.tokens.hidden else prices.cost_of(self.tokens.total)

    def add(self, line: bytes) -> None:
        """Take a line of the output into account."""
        found = whole_row(line)
        self.torn = found is None and is_remnant(line)
        if found is None:
            self.damaged += not self.torn
            return
        row, mark = found
        self.rows += 1
        self.tokens.add(row, mark)
        if mark.failed:
            self.failed += 1
            self.errors.add(_code(row, mark))


def report_on(output: Path) -> Report:
    """Read the output of a batch: a file of rows, or a folder of such files, as jobs of `nomyo.batch.ray` write it.

    For an output of another form (Parquet, ...), its journal is read (`OUTPUT.journal`, or the folder `_journal`).

    Raises:
        BatchError: It holds no row, but something else.
        ValueError: It is a device.
        OSError: It does not exist, or cannot be read.
    """
    found = Report()
    for path in _files(output):
        check_kind(path)
        with path.open("rb") as lines:
            for line, _ in output_lines(lines):
                found.add(line)
    if found.damaged and not found.rows:
        raise BatchError(f"{output.name} holds no row of a batch")
    return found


def _files(output: Path) -> Iterator[Path]:
    if output.is_dir():
        folder = output / JOURNALS if (output / JOURNALS).is_dir() else output
        yield from (folder / name for name in sorted(os.listdir(folder)) if name.endswith(".jsonl"))
        return
    journal = journal_of(output)
    yield journal if journal.is_file() else output


def _code(row: bytes, mark: Mark) -> str:
    """Return the code of a row's error; it may be another tool's, so it is shown only if it looks like one of ours."""
    if mark.sealed:
        return SEALED
    try:
        code = json.loads(row)["error"]["code"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return OTHER
    return code if isinstance(code, str) and _CODE.fullmatch(code) else OTHER
