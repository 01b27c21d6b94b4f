"""What a batch may take as a whole, over all its runs: tokens, money, and time until a deadline."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nomyo._checks import check_int, check_number
from nomyo._counts import MAX_COUNT, total
from nomyo._plurals import counted

Tokens = tuple[int, int]
"""Tokens of prompts, and of answers."""
_MAX_MONEY: Final = 1e12
_PER_PRICE: Final = 1_000_000
_SLOWER_BY: Final = 1 / 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a batch may take as a whole, over all its runs. It stops before it would take more.

    Args:
        max_tokens: Tokens of prompts and answers together; None for no limit.
        max_cost: What they may cost, in the currency of the prices; None for no limit.
        price_in: The price of a million tokens of prompts.
        price_out: The price of a million tokens of answers. With both prices, costs are calculated.
        deadline: When the last answer must have come. A time without a zone is in this machine's zone.

    Raises:
        TypeError: A value is of the wrong type.
        ValueError: A value is out of range, one price is given without the other, or `max_cost` without prices.
    """

    max_tokens: int | None = None
    max_cost: float | None = None
    price_in: float | None = None
    price_out: float | None = None
    deadline: datetime | None = None

    def __post_init__(self) -> None:
        """Check the values."""
        if self.max_tokens is not None:
            check_int("max_tokens", self.max_tokens, 1, MAX_COUNT)
        for name in ("price_in", "price_out"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 0, _MAX_MONEY)
        if (self.price_in is None) != (self.price_out is None):
            raise ValueError("price_in and price_out go together: one of them is missing")
        if self.price_in == self.price_out == 0:
            raise ValueError("price_in and price_out must not both be 0")
        if self.max_cost is not None:
            check_number("max_cost", self.max_cost, 0, _MAX_MONEY)
            if not self.max_cost:
                raise ValueError("max_cost must be more than 0")
            if self.price_in is None:
                raise ValueError("max_cost needs price_in and price_out")
        if not isinstance(self.deadline, datetime | None):
            raise TypeError(f"deadline must be a datetime, not {type(self.deadline).__name__}")

    @property
    def counts(self) -> bool:
        """Whether tokens have to be counted, also those of earlier runs."""
        return self.max_tokens is not None or self.price_in is not None

    @property
    def deadline_s(self) -> float | None:
        """The deadline in seconds since 1970.

        Raises:
            ValueError: The deadline lies beyond the years that the system knows.
        """
        try:
            return None if self.deadline is None else self.deadline.timestamp()
        except (OverflowError, OSError):
            raise ValueError("deadline must lie within the years that the system knows") from None

    def check_deadline(self) -> None:
        """Check that the deadline is not over.

        Raises:
            ValueError: The deadline is in the past.
        """
        if self.deadline_s is not None and self.deadline_s <= time.time():
            raise ValueError("deadline must lie in the future")

    def cost_of(self, tokens: Tokens) -> float | None:
        """Return what tokens cost; None without prices."""
        if self.price_in is None or self.price_out is None:
            return None
        return (tokens[0] * self.price_in + tokens[1] * self.price_out) / _PER_PRICE

    def exceeded_by(self, tokens: Tokens) -> str | None:
        """Return which limit so many tokens exceed, in words; None if they exceed none."""
        if self.max_tokens is not None and sum(tokens) > self.max_tokens:
            return f"the budget of {counted(self.max_tokens, 'token')}"
        cost = self.cost_of(tokens)
        if self.max_cost is not None and cost is not None and cost > self.max_cost:
            return f"the budget of {self.max_cost:,.12g}"
        return None


class Spending:
    """What the rows of a batch have taken, and what those under way are expected to take.

    Args:
        budget: What the batch may take.
    """

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.spent: Tokens = (0, 0)
        """Of the whole batch, earlier runs included if the budget counts."""
        self.reached: str | None = None
        """The limit that ended the batch, in words."""
        self._reserved: list[Tokens] = []
        self._changed = asyncio.Event()
        self._longest_s = 0.0

    async def reserve(self, expected: Callable[[], Tokens]) -> Tokens | None:
        """Return what is reserved for a row that may begin; None if none may. Waits for rows that may take less.

        Args:
            expected: Returns what the row is expected to take, by what is known at that moment.
        """
        while not self.is_late():
            tokens = expected()
            exceeded = self.budget.exceeded_by(added(self.spent, tokens, *self._reserved))
            if exceeded is None:
                self._reserved.append(tokens)
                return tokens
            if not self._reserved:
                self.reached = self.reached or exceeded
                return None
            self._changed.clear()
            await self._changed.wait()
        return None

    def release(self, reserved: Tokens, taken: Tokens = (0, 0)) -> None:
        """Record that a row has ended, and the tokens that it took."""
        self._reserved.remove(reserved)
        self.spent = added(self.spent, taken)
        self._changed.set()

    def took(self, seconds: float) -> None:
        """Record how long an answer took."""
        self._longest_s = max(seconds, self._longest_s + (seconds - self._longest_s) * _SLOWER_BY)

    def is_late(self) -> bool:
        """Return whether a row that begins now would not be answered before the deadline."""
        deadline_s = self.budget.deadline_s
        late = deadline_s is not None and time.time() + self._longest_s >= deadline_s
        if late:
            self.reached = self.reached or "the deadline"
        return late

    @contextmanager
    def until_deadline(self, stop: Callable[[], None]) -> Iterator[None]:
        """Call `stop` at the deadline, if it comes within the block."""
        deadline_s = self.budget.deadline_s
        if deadline_s is None:
            yield
            return

        def reach() -> None:
            self.reached = self.reached or "the deadline"
            stop()

        timer = asyncio.get_running_loop().call_later(max(0.0, deadline_s - time.time()), reach)
        try:
            yield
        finally:
            timer.cancel()

    def describe(self) -> str:
        """Return why no more rows begin, in words."""
        cost = self.budget.cost_of(self.spent)
        spent = "" if not self.budget.counts else f" ({counted(sum(self.spent), 'token')} taken"
        spent += f", which cost {cost:,.6g})" if spent and cost is not None else ")" * bool(spent)
        return f"the next row would go beyond {self.reached}{spent}: no more rows begin"


def added(*tokens: Tokens) -> Tokens:
    """Return the sums of prompts' and of answers' tokens, `MAX_COUNT` at most."""
    return total(*(prompt for prompt, _ in tokens)), total(*(answer for _, answer in tokens))


def checked_budget(budget: Budget | None) -> Budget:
    """Return the budget of a run, which is one without limits if None is given.

    Raises:
        TypeError: `budget` is no Budget.
        ValueError: Its deadline is in the past.
    """
    if not isinstance(budget, Budget | None):
        raise TypeError("budget must be a nomyo.batch.Budget")
    budget = budget or Budget()
    budget.check_deadline()
    return budget
