"""`nomyo batch report`: the figures of an output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from nomyo._finite_json import ascii_json
from nomyo.batch.budget import Budget
from nomyo.batch.report import Report, report_on
from nomyo.cli.batch.figure_table import aligned
from nomyo.cli.batch.limit_options import OPTION_NAMES, PriceIn, PriceOut
from nomyo.cli.command_app import (
    FAILED,
    FAILURES,
    USAGE,
    bad_option,
    command_app,
    exit_code,
    manual,
    report_failure,
    run,
)

NAME: Final = "nomyo batch report"
app = command_app()
_REPORT = manual(
    examples={
        "nomyo batch report out.jsonl": "What became of a batch so far:",
        "nomyo batch report out.jsonl --price-in 0.5 --price-out 1.5": "And what it cost:",
    },
    exit_codes={
        0: "The figures came out, whatever they say.",
        1: "OUT cannot be read, or is not the output of a batch.",
        2: "The command cannot be run as asked.",
    },
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does."""
    return run(app, arguments, NAME)


@app.command("report", cls=_REPORT)
def report_output(
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The output of a batch.", show_default=False)],
    price_in: PriceIn = None,
    price_out: PriceOut = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Print what became of a batch so far: rows, tokens, cost, and errors by kind.

    It reads OUT alone, also while the batch runs, and shows no content. Of sealed rows, it shows what is visible: how
    many failed, and their tokens if the batch had a budget.
    """
    try:
        prices = Budget(price_in=price_in, price_out=price_out)
        found = report_on(output)
    except FAILURES as error:
        if isinstance(error, (ValueError, TypeError)) and exit_code(error) == USAGE:
            raise bad_option(error, OPTION_NAMES) from None
        report_failure(NAME, error, as_json=as_json)
        raise typer.Exit(FAILED) from None
    print(ascii_json(_as_json(found, prices)) if as_json else "\n".join(_lines(found, prices)))


def _as_json(found: Report, prices: Budget) -> dict[str, Any]:
    return {
        "rows": found.rows,
        "answered": found.answered,
        "failed": found.failed,
        "damaged": found.damaged,
        "torn": found.torn,
        "prompt_tokens": found.tokens.total[0],
        "completion_tokens": found.tokens.total[1],
        "rows_without_tokens": found.tokens.hidden,
        "cost": found.cost(prices),
        "errors": dict(found.errors.most_common()),
    }


def _lines(found: Report, prices: Budget) -> list[str]:
    figures: dict[str, object] = {
        "rows": found.rows,
        "answered": found.answered,
        "failed": found.failed,
        **{f"  {code}": rows for code, rows in found.errors.most_common()},
        "damaged lines": found.damaged or None,
        "tokens in": found.tokens.total[0],
        "tokens out": found.tokens.total[1],
        "sealed rows that show no tokens": found.tokens.hidden or None,
        "cost": found.cost(prices),
    }
    return aligned(figures)
