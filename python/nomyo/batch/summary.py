"""The state of a batch after a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Summary:
    """The state of a batch after a run."""

    rows: int
    """Rows of the input."""
    succeeded: int
    """Rows of the output that hold an answer."""
    failed: int
    """Rows of the output that hold an error."""
    done_before: int
    """Rows that were done before this run."""
    prompt_tokens: int
    """Tokens of the prompts that this run got answers for, as the router counts them."""
    completion_tokens: int
    """Tokens of the answers of this run, as the router counts them."""
    reasons: tuple[tuple[str, int], ...] = field(default=(), kw_only=True)
    """Why rows failed in this run, without content, each with the number of rows; the most frequent first."""
    table: Any = field(default=None, kw_only=True, repr=False, compare=False)
    """The rows with their answers, as a pyarrow table, if the input was a table and no output was named."""
    limit: str | None = field(default=None, kw_only=True)
    """The budget or deadline that ended this run before all rows were done, in words; None if none did."""
    cost: float | None = field(default=None, kw_only=True)
    """What all runs cost, by the prices of the budget; None without prices."""

    @property
    def left(self) -> int:
        """Rows that are not done, because the run was stopped, or a limit ended it."""
        return self.rows - self.succeeded - self.failed
