"""The dry run of `nomyo batch`: what there is to send, and the first requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nomyo._finite_json import ascii_json
from nomyo._plurals import counted
from nomyo._terminal_text import visible_line
from nomyo.batch.budget import Budget
from nomyo.batch.data.dry_run import rows_of
from nomyo.batch.data.options import DataOptions
from nomyo.batch.estimate import Estimate, estimate
from nomyo.batch.governor import Limits
from nomyo.batch.records import Row
from nomyo.cli.batch.data_options import request_lines
from nomyo.cli.command_app import FAILED, bad_option, report_failure
from nomyo.errors import NomyoError

ROWS_BAD = 3


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run would keep to."""

    limits: Limits
    budget: Budget


def show_estimate(
    name: str, names: Mapping[str, str], path: Path, data: DataOptions | None, bounds: Bounds, *, as_json: bool
) -> int:
    """Print what a dry run finds, and return the exit code.

    Args:
        name: The command, for messages.
        names: What options are called that the library calls otherwise.
        path: The input.
        data: What its rows ask; None for requests in OpenAI's batch format.
        bounds: What a run would keep to.
        as_json: Whether to print JSON.

    Raises:
        typer.BadParameter: The input cannot be used as asked.
    """
    try:
        found = estimate(rows_of(path, data))
    except ValueError as error:
        raise bad_option(error, names) from None
    except (OSError, NomyoError) as error:
        report_failure(name, error, as_json=as_json)
        return FAILED
    shown = found.first_requests if data is not None and data.asks else []
    print(ascii_json(_as_json(found, shown, bounds)) if as_json else "\n".join(_lines(found, shown, bounds)))
    return ROWS_BAD if found.bad_rows else 0


def _as_json(found: Estimate, shown: Sequence[Row], bounds: Bounds) -> dict[str, Any]:
    bad = [{"line": row.line, "code": row.code, "message": str(row)} for row in found.first_bad_rows]
    return {
        "rows": found.rows,
        "bad_rows": found.bad_rows,
        "first_bad_rows": bad,
        "repeated_custom_ids": found.repeated_custom_ids,
        "prompt_tokens": found.prompt_tokens,
        "answer_tokens": found.answer_tokens,
        "cost": bounds.budget.cost_of(found.tokens),
        "seconds_at_least": found.seconds_at(bounds.limits.requests_per_s),
        "seconds_at_token_rate": found.seconds_at_tokens(bounds.limits.tokens_per_min),
        "exceeded": found.exceeded(bounds.budget, bounds.limits),
        **({"first_requests": [{"custom_id": row.custom_id, "body": row.body} for row in shown]} if shown else {}),
    }


def _lines(found: Estimate, shown: Sequence[Row], bounds: Bounds) -> Iterator[str]:
    tokens = counted(found.prompt_tokens, "token")
    yield f"{counted(found.rows, 'row')}, {found.bad_rows:,} of them bad; some {tokens} of prompts"
    yield from (f"  line {row.line}: {visible_line(str(row))}" for row in found.first_bad_rows)
    if found.bad_rows > len(found.first_bad_rows):
        yield f"  and {found.bad_rows - len(found.first_bad_rows):,} more"
    if found.repeated_custom_ids:
        yield f"rows with a custom_id that an earlier one has: {found.repeated_custom_ids:,}; each is sent"
    yield f"some {counted(found.answer_tokens, 'token')} of answers: the max_tokens of each row, or 1,000"
    yield from _lines_of_bounds(found, bounds)
    if shown:
        yield "the first requests, as they would be sealed:"
        yield from request_lines(shown)


def _lines_of_bounds(found: Estimate, bounds: Bounds) -> Iterator[str]:
    """Yield what the rows would take in money and time, and whether that is within the budget and the deadline."""
    limits, budget = bounds.limits, bounds.budget
    cost = budget.cost_of(found.tokens)
    if cost is not None:
        yield f"by the prices: some {cost:,.6g}"
    by_requests, by_tokens = found.seconds_at(limits.requests_per_s), found.seconds_at_tokens(limits.tokens_per_min)
    if by_requests is not None:
        requests = "1 request" if limits.requests_per_s == 1 else f"{limits.requests_per_s:g} requests"
        yield f"at {requests} a second: {by_requests:,.0f} s or more"
    if by_tokens is not None:
        yield f"at {counted(limits.tokens_per_min or 0, 'token')} a minute: some {by_tokens:,.0f} s"
    exceeded = found.exceeded(budget, limits)
    yield from (f"{limit} would end the batch before its last row" for limit in exceeded)
    given = {
        "the budget": (budget.max_tokens, budget.max_cost) != (None, None),
        "the deadline": budget.deadline is not None and (by_requests, by_tokens) != (None, None),
    }
    if any(given.values()) and not exceeded:
        yield f"by this estimate, all rows fit within {' and '.join(name for name in given if given[name])}"
