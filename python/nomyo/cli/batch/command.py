"""`nomyo batch`: options in, a file of answers out."""

from __future__ import annotations

import asyncio
import dataclasses
import glob
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from nomyo._speed import run_loop
from nomyo.batch.data.files import DeadlineError, StoppedError
from nomyo.batch.data.source import journal_path
from nomyo.batch.governor import Limits
from nomyo.batch.governor.governor import DIRECTORY_VARIABLE
from nomyo.batch.runner import PATIENCE_S
from nomyo.cli.batch import data_options, limit_options, open_command, report_command
from nomyo.cli.batch.data_options import TableOptions
from nomyo.cli.batch.dry_run import Bounds, show_estimate
from nomyo.cli.batch.interruptible import progress_on_stderr, until_interrupted
from nomyo.cli.batch.limit_options import LimitOptions
from nomyo.cli.batch.outcome import LIMIT_REACHED, show_summary
from nomyo.cli.command_app import (
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    FAILED,
    FAILURES,
    NO_COLOR_VARIABLE,
    USAGE,
    bad_option,
    command_app,
    exit_code,
    harden,
    manual,
    report,
    report_failure,
    run,
)
from nomyo.cli.option_groups import takes_options
from nomyo.cli.path_arguments import STREAM, refuse_stream
from nomyo.cli.quiet_imports import INTERRUPTED
from nomyo.cli.router_options import HideMemory, RouterOptions, check_api_key, takes_router_options
from nomyo.exchange.settings import DEFAULT_BASE_URL, router_address

NAME: Final = "nomyo batch"
# What the library calls otherwise.
_OPTIONS: Final = {
    "requests_per_s": "--rate",
    "burst_requests": "--burst",
    "burst_window_s": "--burst-window",
    "bursts": "--bursts",
    "cool_down_s": "--cool-down",
    "patience": "--patience",
    "concurrency": "--concurrency",
    **data_options.OPTION_NAMES,
    **limit_options.OPTION_NAMES,
}
_SERVICE: Final = Limits.of(DEFAULT_BASE_URL)
_ELSEWHERE: Final = Limits.of("http://localhost")
app = command_app()
# Found by their first word, for an input is one, too.
SUBCOMMANDS: Final = {"open": open_command.app, "report": report_command.app}
_MAINS: Final = {"open": open_command.main, "report": report_command.main}
_BATCH = manual(
    examples={
        "nomyo batch in.jsonl -o out.jsonl": "All rows; and once more, to go on after an interruption:",
        "nomyo batch in.jsonl -o out.jsonl --rate 2": "No more than two requests a second:",
        "nomyo batch in.jsonl --dry-run": "Count rows and find bad ones, without sending anything:",
        "nomyo batch in.jsonl -o out.jsonl --retry-errors": "Send the rows that failed once more:",
        "nomyo batch in.jsonl -o out.jsonl --encrypt-to archive/public_key.pem": "Seal the answers for one key:",
        "nomyo batch open out.jsonl --key-dir archive": "Read these answers:",
        "nomyo batch report out.jsonl": "What became of it so far:",
    },
    exit_codes={
        0: "Every row has its answer. With --dry-run: no row is bad.",
        1: "It could not begin, or stopped before its end, and says why. After a stop, the same command goes on.",
        2: "The command cannot be run as asked.",
        3: "It went to its end, and rows failed: they are in the output. With --dry-run: rows are bad.",
        4: "A budget or the deadline ended it: the same command with a larger one goes on.",
        130: "Interrupted with Ctrl-C, or by SIGTERM: the same command goes on.",
    },
    environment={
        **API_KEY_VARIABLE,
        **BASE_URL_VARIABLE,
        DIRECTORY_VARIABLE: "Where processes share the rate of an API key, instead of a directory in /dev/shm.",
        **NO_COLOR_VARIABLE,
    },
    files={
        "PATH": "With --metrics-file PATH: figures of the run, without content.",
        "OUT.batch": "Beside the output: which input it belongs to. Needed to go on, and for --retry-errors.",
        "OUT.journal, OUT.journal.batch": "For a table, the same and the answers; another place with --journal PATH.",
        "DIR/private_key.pem, DIR/public_key.pem": "The key pair, with --key-dir DIR; none is written without.",
    },
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does. An input by the name of a subcommand is `./open`."""
    if arguments and arguments[0] in SUBCOMMANDS:
        return _MAINS[arguments[0]](arguments[1:])
    return run(app, arguments, NAME)


def _subcommands(incomplete: str) -> list[str]:
    """Return subcommands for a shell that completes the first word; none if it may be a file: the shell finds it."""
    if not incomplete or glob.glob(f"{glob.escape(incomplete)}*"):
        return []
    return [name for name in SUBCOMMANDS if name.startswith(incomplete)]


@app.command(cls=_BATCH)
@takes_router_options
@takes_options(TableOptions)
@takes_options(LimitOptions)
def batch(
    input_path: Annotated[
        Path,
        typer.Argument(
            metavar="IN",
            help="A file in OpenAI's batch format; or Parquet, Arrow, CSV, TSV or JSON lines, also .gz and .zst, a"
            " folder or a glob of such files, or `-`.",
            show_default=False,
            autocompletion=_subcommands,
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="The file that gets a row for each row of IN.")
    ] = None,
    concurrency: Annotated[int, typer.Option(metavar="N", help="Requests under way at once.", min=1)] = 32,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help=f"Requests a second; 0: no limit. By default {_SERVICE.requests_per_s:g} at the public service, or 0.",
        ),
    ] = None,
    burst: Annotated[
        int, typer.Option(metavar="N", help="Requests that one second of a burst may hold; 0: no bursts.")
    ] = _SERVICE.burst_requests,
    bursts: Annotated[int, typer.Option(metavar="N", help="Bursts in a window.")] = _SERVICE.bursts,
    burst_window: Annotated[
        float, typer.Option(metavar="SECONDS", help="Seconds of such a window.")
    ] = _SERVICE.burst_window_s,
    cool_down: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="Seconds without requests after a 503 that has no Retry-After. By default "
            f"{_SERVICE.cool_down_s:g} at the public service, else {_ELSEWHERE.cool_down_s:g}.",
        ),
    ] = None,
    *,
    bounds: LimitOptions,
    ordered: Annotated[bool, typer.Option("--ordered", help="Write rows in the order of the input.")] = False,
    retry_errors: Annotated[
        bool, typer.Option("--retry-errors", help="Send rows again that failed in an earlier run.")
    ] = False,
    encrypt_to: Annotated[
        Path | None,
        typer.Option(metavar="PUBLIC.pem", help="Seal rows for this RSA key; `nomyo batch open` reads them."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Count rows, show bad ones and, of a table, three requests; estimate tokens, cost and time.",
        ),
    ] = False,
    table: TableOptions,
    router: RouterOptions,
    max_retries: Annotated[
        int, typer.Option(metavar="N", help="Extra attempts of a row after HTTP 500, 502, 504 and timeouts.", min=0)
    ] = 2,
    patience: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="Seconds to wait for a router that is away, or answers 429 or 503.", min=0
        ),
    ] = PATIENCE_S,
    hide_memory: HideMemory = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON, and failures on stderr, too.")
    ] = False,
) -> None:
    """Send every row of a file, encrypted end to end, and write a row for each to another file.

    If it is interrupted in any way, the same command goes on: rows in OUT are not sent again, and rows that were under
    way are. Bad rows, and rows that fail, become errors in OUT and do not stop it. While the router is away, or answers
    429 or 503, it pauses.

    It reports progress on stderr, without content. OUT is the only file that gets answers; for a table, OUT.journal has
    them, too. With --encrypt-to, rows are sealed before they are written, and `nomyo batch open` (see its --help) reads
    them with the private key.
    """
    of_client = router.of_client()
    base_url = of_client.pop("router_url")
    given = {
        "requests_per_s": rate,
        "cool_down_s": cool_down,
        "burst_requests": burst,
        "bursts": bursts,
        "burst_window_s": burst_window,
        **bounds.of_rates(),
    }
    with _judged():
        limits, budget, data = _limits(base_url, given), bounds.as_budget(), table.of_library()
    if input_path != STREAM:
        refuse_stream("IN", input_path, "a batch reads its input twice")
    if dry_run:
        raise typer.Exit(show_estimate(NAME, _OPTIONS, input_path, data, Bounds(limits, budget), as_json=as_json))
    output = _checked_output(output, as_json=as_json)
    check_api_key()
    harden(NAME, hide_memory=hide_memory)
    options = {
        "data": data,
        "concurrency": concurrency,
        "limits": limits,
        "budget": budget,
        "ordered": ordered,
        "retry_errors": retry_errors,
        "max_retries": max_retries,
        "encrypt_to": encrypt_to,
        "patience": patience,
        "base_url": base_url,
        **of_client,
        "progress": progress_on_stderr(NAME, quiet=quiet),
        "metrics_file": bounds.metrics_file,
    }
    raise typer.Exit(_run(input_path, output, options, as_json=as_json))


@contextmanager
def _judged() -> Iterator[None]:
    """Have options that the library refuses end as click's do, under the names that they have here."""
    try:
        yield
    except ValueError as error:
        raise bad_option(error, _OPTIONS) from None


def _limits(base_url: str, given: Mapping[str, Any]) -> Limits:
    """Return the rules of the router at an address, with what was given in their place."""
    rules = Limits.of(router_address(base_url))
    return dataclasses.replace(rules, **{name: value for name, value in given.items() if value is not None})


def _checked_output(output: Path | None, *, as_json: bool) -> Path:
    if output is None:
        raise typer.BadParameter("--output is needed, except with --dry-run")
    if output == STREAM and as_json:
        raise typer.BadParameter("--json prints to stdout, and with --output - the rows do: take one of them")
    if output != STREAM:
        refuse_stream("--output", output, "a batch goes on from its output")
    return output


def _run(source: Path, output: Path, options: Mapping[str, Any], *, as_json: bool) -> int:
    """Run the batch, show what came of it, and return the exit code."""
    began = time.monotonic()
    try:
        summary = run_loop(until_interrupted(NAME, source, output, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        report(NAME, "stopped at once: the same command goes on, and sends again what was under way")
        return INTERRUPTED
    except StoppedError as error:
        report(NAME, str(error))
        return INTERRUPTED
    except DeadlineError as error:
        report_failure(NAME, error, as_json=as_json)
        return LIMIT_REACHED
    except FAILURES as error:
        if isinstance(error, (ValueError, TypeError)) and exit_code(error) == USAGE:  # click cannot judge it
            raise bad_option(error, _OPTIONS) from None
        report_failure(NAME, error, as_json=as_json)
        return FAILED
    seconds, sealed = time.monotonic() - began, options["encrypt_to"] is not None
    journal = journal_path(source, output, options["data"])
    return show_summary(NAME, summary, journal, seconds, sealed=sealed, as_json=as_json)
