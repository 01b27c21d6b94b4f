"""How far a job is: rows that earlier calls did, parts that are left, and the outcomes of parts that were sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nomyo._counts import total
from nomyo.batch.budget import Budget, Spending
from nomyo.batch.progress import Progress
from nomyo.batch.ray.part_file import PartFile
from nomyo.batch.ray.parts import Part
from nomyo.batch.ray.plan import Plan
from nomyo.batch.records import Mark, read_mark
from nomyo.batch.row_tokens import RowTokens
from nomyo.batch.run_figures import RunFigures
from nomyo.batch.summary import Summary
from nomyo.errors import BatchError


class JobCounts:
    """How far a job is.

    Args:
        plan: The input and the output.
        budget: What the job may take.
        retry_errors: Whether parts with failed rows are sent once more.

    Raises:
        BatchError: The rows are sealed and do not show the tokens that a budget needs.
        OSError: A journal cannot be read.
    """

    def __init__(self, plan: Plan, budget: Budget, *, retry_errors: bool) -> None:
        self.left: list[Part] = []
        self.rows = self.failed = 0
        """Rows that are done."""
        self.earlier = RowTokens()
        """What these took, if the budget counts tokens."""
        self._rows = plan.survey.rows
        self._of_parts: dict[int, tuple[int, int]] = {}
        """Rows of the parts that are left, and how many of them failed."""
        for part in plan.parts:
            self._look_at(plan, part, retry_errors=retry_errors, counts_tokens=budget.counts)
        self.spending = Spending(budget)
        self.spending.spent = self.earlier.total
        self.figures = RunFigures(self._rows, self, self.spending)

    def _look_at(self, plan: Plan, part: Part, *, retry_errors: bool, counts_tokens: bool) -> None:
        journal = PartFile(plan.journals, part)
        marks = journal.marks()
        is_done = marks is not None and not (retry_errors and any(mark.failed for mark in marks))
        if not is_done or marks is None:
            marks = journal.kept_marks(retry_errors=retry_errors)
        if not is_done or not plan.source.is_complete(part, journal):
            self.left.append(part)
            self._of_parts[part.line] = len(marks), _failed(marks)
        self.rows += len(marks)
        self.failed += _failed(marks)
        if counts_tokens:
            self._count_tokens(journal)

    def _count_tokens(self, journal: PartFile) -> None:
        for row in journal.kept_rows():
            mark = read_mark(row)
            if mark is not None:
                self.earlier.add(row, mark)
        if self.earlier.hidden:
            raise BatchError(
                "the output is sealed and was begun without a budget, so nobody can tell what it took: go on without"
                " budget and prices, or name another output"
            )

    def add(self, done: Mapping[str, Any], progress: Progress) -> None:
        """Count what an actor has done of a part, and report it.

        Raises:
            BatchError: The actor had to stop.
        """
        if done["failure"] is not None:
            raise BatchError(done["failure"])
        rows, failed = self._of_parts.pop(done["line"])
        self.rows += done["rows"] - rows
        self.failed += done["failed"] - failed
        tokens = done["prompt_tokens"], done["completion_tokens"]
        self.figures.add_counted(tokens, json.loads(done["codes"]), json.loads(done["reasons"]))
        if done["limit"] is not None and self.spending.reached is None:
            self.spending.reached = done["limit"]
            progress.tell(self.spending.describe())
        for number in range(done["rows"] - rows):  # as `Progress` expects it; the first has the tokens of all
            progress.row(failed=number < done["failed"] - failed, tokens=0 if number else total(*tokens))

    def summary(self) -> Summary:
        """Return the state of the batch."""
        return Summary(
            self._rows,
            self.rows - self.failed,
            self.failed,
            self.figures.done_before,
            *self.figures.tokens,
            reasons=self.figures.reasons.most_frequent_first(),
            limit=self.figures.limit,
            cost=self.figures.cost,
        )


def _failed(marks: list[Mark]) -> int:
    return sum(mark.failed for mark in marks)
