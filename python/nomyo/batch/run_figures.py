"""The figures of a run: rows, tokens, cost, rate, time left and errors by kind. They hold no content.

They are shown as one JSON object, or as text for Prometheus (its documentation, "Exposition formats", "Text-based
format"). `FIRST_BYTES` tell files with such figures from other files.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from nomyo._counts import total
from nomyo._finite_json import ascii_json
from nomyo.batch.budget import Spending, Tokens, added
from nomyo.batch.error_codes import ErrorCodes
from nomyo.batch.records import code_of
from nomyo.batch.verdict import Reasons

RUNNING: Final = "running"
DONE: Final = "done"
STOPPED: Final = "stopped"
FAILED: Final = "failed"
FIRST_BYTES: Final = (b'{"nomyo_batch"', b"# HELP nomyo_batch")
_FORMAT: Final = 1
_HELP: Final = {
    "rows": "Rows of the input.",
    "rows_done": "Rows that have an outcome.",
    "rows_failed": "Rows whose outcome is an error.",
    "rows_left": "Rows that have no outcome.",
    "prompt_tokens": "Tokens of prompts in this run.",
    "completion_tokens": "Tokens of answers in this run.",
    "batch_prompt_tokens": "Tokens of prompts in all runs.",
    "batch_completion_tokens": "Tokens of answers in all runs.",
    "cost": "What all runs cost.",
    "seconds": "Seconds since this run began.",
    "rows_per_second": "Rows a second in this run.",
    "tokens_per_minute": "Tokens a minute in this run.",
    "seconds_left": "Seconds until the last row at this rate.",
    "updated": "When these figures were taken, in seconds since 1970.",
}


class Done(Protocol):
    """What is done of a batch."""

    @property
    def rows(self) -> int:
        """Rows that have an outcome."""

    @property
    def failed(self) -> int:
        """How many of these have an error."""


class RunFigures:
    """Counts the rows of a run, their tokens and their errors.

    Args:
        rows: Rows of the input.
        done: The rows that are done, which grow meanwhile.
        spending: What the batch has taken.
    """

    def __init__(self, rows: int, done: Done, spending: Spending) -> None:
        self._rows = rows
        self._done = done
        self._spending = spending
        self._began = time.monotonic()
        self._codes = ErrorCodes()
        self.done_before = done.rows
        self.tokens: Tokens = (0, 0)
        """Of this run."""
        self.reasons = Reasons()
        self.state = RUNNING

    def add(self, tokens: Tokens, failure: Exception | None) -> None:
        """Count a row that is done."""
        self.tokens = added(self.tokens, tokens)
        if failure is not None:
            self.reasons.add(failure)
            self._codes.add(code_of(failure))

    def add_counted(self, tokens: Tokens, codes: Mapping[str, int], reasons: Mapping[str, int]) -> None:
        """Count rows that were done elsewhere: their tokens, and their errors by code and by reason."""
        self.tokens = added(self.tokens, tokens)
        for code, rows in codes.items():
            self._codes.add(code, rows)
        for reason, rows in reasons.items():
            self.reasons.add_counted(reason, rows)

    def end(self, *, failed: bool) -> None:
        """Set the state in which the run has ended."""
        left = self._done.rows < self._rows
        self.state = FAILED if failed else STOPPED if left else DONE

    @property
    def cost(self) -> float | None:
        """What all runs cost; None without prices."""
        return self._spending.budget.cost_of(self._spending.spent)

    @property
    def limit(self) -> str | None:
        """The limit that ended the run before all rows were done, in words."""
        return self._spending.reached if self._done.rows < self._rows else None

    def figures(self) -> dict[str, Any]:
        """Return the figures by name; None for one that is not known."""
        seconds = time.monotonic() - self._began
        rows_here, left = self._done.rows - self.done_before, self._rows - self._done.rows
        counted = self._spending.spent if self._spending.budget.counts else (None, None)
        return {
            "rows": self._rows,
            "rows_done": self._done.rows,
            "rows_failed": self._done.failed,
            "rows_left": left,
            "prompt_tokens": self.tokens[0],
            "completion_tokens": self.tokens[1],
            "batch_prompt_tokens": counted[0],
            "batch_completion_tokens": counted[1],
            "cost": self.cost,
            "seconds": round(seconds, 3),
            "rows_per_second": round(rows_here / seconds, 3) if seconds else 0.0,
            "tokens_per_minute": round(60 * total(*self.tokens) / seconds) if seconds else 0,
            "seconds_left": round(left * seconds / rows_here) if rows_here else (None if left else 0),
            "updated": round(time.time(), 3),
        }

    def as_json(self) -> bytes:
        """Return the figures as JSON."""
        told = {"nomyo_batch": _FORMAT, "state": self.state, "limit": self.limit}
        return ascii_json({**told, **self.figures(), "errors": dict(self._codes.most_common())}).encode() + b"\n"

    def as_prometheus(self) -> bytes:
        """Return the figures as text for Prometheus."""
        return "".join(f"{line}\n" for line in self._prometheus_lines()).encode()

    def _prometheus_lines(self) -> Iterator[str]:
        for name, value in self.figures().items():
            if value is not None:
                yield from _gauge(name, _HELP[name], {"": value})
        yield from _gauge("running", "Whether the run goes on.", {"": int(self.state == RUNNING)})
        errors = {f'{{code="{code}"}}': rows for code, rows in self._codes.most_common()}
        yield from _gauge("errors", "Rows that failed in this run, by the code of their error.", errors)


def _gauge(name: str, words: str, values: Mapping[str, float]) -> Iterator[str]:
    yield f"# HELP nomyo_batch_{name} {words}"
    yield f"# TYPE nomyo_batch_{name} gauge"
    for labels, value in values.items():
        yield f"nomyo_batch_{name}{labels} {value}"
