"""`nomyo batch open`: a sealed output in, the rows of OpenAI's format out.

Opened rows go from locked memory straight to the place where they are written; no Python object holds one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Final

import typer

from nomyo import _core
from nomyo._files.file_systems import write_all
from nomyo._files.new_files import created
from nomyo._finite_json import ascii_json
from nomyo._plurals import counted
from nomyo.batch.data.files import known_format
from nomyo.batch.data.formats import JSONL, Format
from nomyo.batch.data.opening import SealedTable, is_table
from nomyo.batch.data.outputs import output_stream
from nomyo.batch.data.source import journal_of
from nomyo.batch.output_reader import Damaged, Opened, check_key, check_kind, opened_rows
from nomyo.batch.seal_key import open_private_key
from nomyo.cli.answer_output import write_answer
from nomyo.cli.command_app import (
    FAILED,
    FAILURES,
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
from nomyo.cli.key_password import password_for, password_for_file
from nomyo.cli.path_arguments import STREAM
from nomyo.cli.streams import write_stderr
from nomyo.errors import BatchError
from nomyo.exchange.passwords import STDIN
from nomyo.memory import SecureBuffer

NAME: Final = "nomyo batch open"
ROWS_DAMAGED: Final = 3
_DAMAGED_SHOWN: Final = 20
_OPTIONS: Final = {"private_key": "--private-key"}
app = command_app()
_OPEN = manual(
    examples={
        "nomyo batch open out.jsonl --key-dir archive | jq .custom_id": "To another program:",
        "nomyo batch open out.jsonl -o plain.jsonl --private-key key.pem": "To a file:",
    },
    exit_codes={
        0: "All rows came out.",
        1: "It failed, or no row could be opened; there is no PLAIN then.",
        2: "The command cannot be run as asked.",
        3: "Rows are damaged, or sealed for another key; the others came out.",
        130: "Interrupted with Ctrl-C; there is no PLAIN then.",
    },
    files={
        "OUT.batch": "Beside the output: says for which key it is sealed, if it is there.",
        "DIR/private_key.pem": "The private key, with --key-dir DIR.",
    },
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does."""
    return run(app, arguments, NAME)


@dataclass(slots=True)
class _Outcome:
    """What came of the lines of an output."""

    rows: int = 0
    damaged: int = 0
    first_damaged: list[Damaged] = field(default_factory=list)
    torn: bool = False

    def take_damaged(self, row: Damaged) -> None:
        self.torn = self.torn or row.torn
        if row.torn:
            return
        self.damaged += 1
        self.first_damaged += [row] if self.damaged <= _DAMAGED_SHOWN else []


@app.command("open", cls=_OPEN)
def open_output(
    output: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="The output of a batch, sealed or not (`-`: stdin).", show_default=False),
    ],
    plain: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="PLAIN", help="A new file for the rows; stdout by default, or as `-`."),
    ] = None,
    key_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The directory of the key pair that rows are sealed for.")
    ] = None,
    private_key: Annotated[
        Path | None, typer.Option(metavar="PATH", help="The PEM of the private key, instead of --key-dir.")
    ] = None,
    password_file: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Holds the private key's password (`-`: stdin); asked for by default."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Report the outcome as JSON: on stdout, or on stderr if rows go to stdout."),
    ] = False,
) -> None:
    """Print the rows of an output that was sealed with `nomyo batch --encrypt-to`.

    Rows are in OpenAI's format, in the order of OUT; those of a table have its columns, in the format that the name of
    PLAIN says. A row that is damaged, altered, or sealed for another key is left out, and its line is reported. A last
    row that a killed batch left torn is reported, too. PLAIN is never overwritten, and holds rows only when it is
    complete.
    """
    harden(NAME)
    if STREAM == output == password_file:
        raise typer.BadParameter("stdin cannot be OUT and the password's file: name a file for one of them")
    output, plain = STDIN if output == STREAM else output, None if plain == STREAM else plain
    try:
        check_kind(output)
        key = _opened_key(key_dir, private_key, password_file)
        table = is_table(output)
        check_key(journal_of(output) if table else output, key)
        outcome = _copy_table(output, plain, key) if table else _copy(output, plain, key)
    except FAILURES as error:
        if isinstance(error, (ValueError, TypeError)) and exit_code(error) == USAGE:
            raise bad_option(error, _OPTIONS) from None
        report_failure(NAME, error, as_json=as_json)
        raise typer.Exit(FAILED) from None
    _show(outcome, to_stdout=plain is None, as_json=as_json)
    raise typer.Exit(ROWS_DAMAGED if outcome.damaged else 0)


def _opened_key(key_dir: Path | None, private_key: Path | None, password_file: Path | None) -> _core.PrivateKey | None:
    password = None
    if key_dir is not None and private_key is None:
        password = password_for(NAME, key_dir, password_file)
    elif private_key is not None and key_dir is None:
        password = password_for_file(NAME, private_key, password_file)
    with nullcontext() if password is None else password:
        return open_private_key(key_dir, private_key, password)


def _copy(output: Path, plain: Path | None, key: _core.PrivateKey | None) -> _Outcome:
    """Write the rows of an output.

    Raises:
        BatchError: There are rows, and none could be opened.
    """
    outcome = _Outcome()
    with output.open("rb") as file, _writing(plain) as write:
        for row in opened_rows(file, key):
            _take(row, outcome, write)
        _refuse_none(outcome)
    return outcome


def _refuse_none(outcome: _Outcome) -> None:
    if outcome.damaged and not outcome.rows:
        first = outcome.first_damaged[0]
        raise BatchError(
            f"none of {counted(outcome.damaged, 'row')} can be opened; line {first.number}: {first.reason}"
        )


def _copy_table(output: Path, plain: Path | None, key: _core.PrivateKey | None) -> _Outcome:
    """Write the rows of a table.

    Raises:
        BatchError: There are rows, and none could be opened; or the table is damaged.
        ValueError: No key is given, or a name says no format.
    """
    outcome = _Outcome()
    if key is None:
        raise ValueError(f"{output} is a table, which only a key opens: key_dir or private_key is needed")
    form = Format(JSONL) if plain is None else known_format(plain)
    table = SealedTable(output, key, outcome.take_damaged)
    with output_stream(plain or STREAM, form, exists=False) as stream:
        table.write(stream, form)
        outcome.rows = table.rows
        _refuse_none(outcome)
    return outcome


def _take(row: Opened, outcome: _Outcome, write: Callable[[memoryview], None]) -> None:
    if isinstance(row, Damaged):
        outcome.take_damaged(row)
        return
    with row if isinstance(row, SecureBuffer) else nullcontext(), memoryview(row) as view:
        write(view)
    outcome.rows += 1


@contextmanager
def _writing(plain: Path | None) -> Iterator[Callable[[memoryview], None]]:
    if plain is None:
        yield write_answer
        return
    with created(plain) as descriptor:
        yield lambda row: write_all(descriptor, row)


def _show(outcome: _Outcome, *, to_stdout: bool, as_json: bool) -> None:
    if as_json:
        damaged = [{"line": row.number, "message": row.reason} for row in outcome.first_damaged]
        told = {"rows": outcome.rows, "damaged": outcome.damaged, "first_damaged": damaged, "torn": outcome.torn}
        (write_stderr if to_stdout else print)(ascii_json(told))
        return
    for row in outcome.first_damaged:
        report(NAME, f"line {row.number}: {row.reason}")
    if outcome.torn:
        report(NAME, "the last row is torn, as a batch that was killed or is under way leaves it")
    if outcome.damaged or not to_stdout:
        report(NAME, f"{counted(outcome.rows, 'row')} came out, {outcome.damaged:,} could not be opened")
