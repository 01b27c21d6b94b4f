"""The dry run of `nomyo batch`: what there is to send, and the first requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nomyo._finite_json import ascii_json
from nomyo._plurals import counted
from nomyo._terminal_text import visible_line
from nomyo.batch.data.dry_run import rows_of
from nomyo.batch.data.options import DataOptions
from nomyo.batch.estimate import Estimate, estimate
from nomyo.batch.records import Row
from nomyo.cli.batch.data_options import request_lines
from nomyo.cli.command_app import FAILED, bad_option, report_failure
from nomyo.errors import NomyoError

ROWS_BAD = 3


def show_estimate(
    name: str, names: Mapping[str, str], path: Path, data: DataOptions | None, rate: float, *, as_json: bool
) -> int:
    """Print what a dry run finds, and return the exit code.

    Args:
        name: The command, for messages.
        names: What options are called that the library calls otherwise.
        path: The input.
        data: What its rows ask; None for requests in OpenAI's batch format.
        rate: Requests a second; 0 for no limit.
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
    print(ascii_json(_as_json(found, shown, rate)) if as_json else _estimate_text(found, shown, rate))
    return ROWS_BAD if found.bad_rows else 0


def _as_json(found: Estimate, shown: Sequence[Row], rate: float) -> dict[str, Any]:
    bad = [{"line": row.line, "code": row.code, "message": str(row)} for row in found.first_bad_rows]
    return {
        "rows": found.rows,
        "bad_rows": found.bad_rows,
        "first_bad_rows": bad,
        "repeated_custom_ids": found.repeated_custom_ids,
        "prompt_tokens": found.prompt_tokens,
        "seconds_at_least": found.seconds_at(rate),
        **({"first_requests": [{"custom_id": row.custom_id, "body": row.body} for row in shown]} if shown else {}),
    }


def _estimate_text(found: Estimate, shown: Sequence[Row], rate: float) -> str:
    tokens = counted(found.prompt_tokens, "token")
    lines = [f"{counted(found.rows, 'row')}, {found.bad_rows:,} of them bad; some {tokens} of prompts"]
    lines += [f"  line {row.line}: {visible_line(str(row))}" for row in found.first_bad_rows]
    if found.bad_rows > len(found.first_bad_rows):
        lines.append(f"  and {found.bad_rows - len(found.first_bad_rows):,} more")
    if found.repeated_custom_ids:
        lines.append(f"rows with a custom_id that an earlier one has: {found.repeated_custom_ids:,}; each is sent")
    seconds = found.seconds_at(rate)
    if seconds is not None:
        requests = "1 request" if rate == 1 else f"{rate:g} requests"
        lines.append(f"at {requests} a second: {seconds:,.0f} s or more")
    if shown:
        lines += ["the first requests, as they would be sealed:", *request_lines(shown)]
    return "\n".join(lines)
