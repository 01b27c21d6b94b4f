"""The options of `nomyo batch` that bound what it takes (tokens a minute, a budget, a deadline), and show it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from nomyo.batch.budget import Budget

OPTION_NAMES: Final = {
    "tokens_per_min": "--token-rate",
    "max_tokens": "--budget-tokens",
    "max_cost": "--budget",
    "price_in": "--price-in",
    "price_out": "--price-out",
    "deadline": "--deadline",
    "metrics_file": "--metrics-file",
}
"""The options that have other names in the library."""
PriceIn = Annotated[float | None, typer.Option(metavar="AMOUNT", help="Price of a million tokens of prompts.")]
PriceOut = Annotated[float | None, typer.Option(metavar="AMOUNT", help="Price of a million tokens of answers.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """The bounds of a batch, and where its figures go."""

    token_rate: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens a minute, of prompts and answers together; no limit by default."),
    ] = None
    budget_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Stop before the batch takes more tokens than this, earlier runs included."),
    ] = None
    budget: Annotated[
        float | None,
        typer.Option(metavar="AMOUNT", help="Stop before it costs more than this, by the two prices."),
    ] = None
    price_in: PriceIn = None
    price_out: PriceOut = None
    deadline: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="Begin no row that would end later, say 2031-05-30T18:00; with a zone (+02:00), or this machine's.",
        ),
    ] = None
    metrics_file: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Write figures there every two seconds: JSON, or for Prometheus if it ends in .prom."
        ),
    ] = None

    def of_rates(self) -> dict[str, Any]:
        """Return the rates as `Limits` takes them."""
        return {"tokens_per_min": self.token_rate}

    def as_budget(self) -> Budget:
        """Return the budget.

        Raises:
            ValueError: A value is out of range, in the past, or lacks another one.
        """
        budget = Budget(
            max_tokens=self.budget_tokens,
            max_cost=self.budget,
            price_in=self.price_in,
            price_out=self.price_out,
            deadline=_moment(self.deadline),
        )
        budget.check_deadline()
        return budget


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("deadline must be a date and a time, such as 2031-05-30T18:00") from None
