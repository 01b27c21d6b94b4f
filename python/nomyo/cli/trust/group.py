"""The group `nomyo trust`, and what its subcommands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, TypeAlias

import typer

from nomyo.cli.command_app import FAILURES, command_app, exit_code, group_manual, report_failure
from nomyo.exchange.paths import file_path
from nomyo.trust.known_routers import KnownRouters, default_path

NAME = "nomyo trust"
FILES: Final = {
    "PATH": "The known routers; by default $XDG_STATE_HOME/nomyo/known_routers, or ~/.local/state/nomyo/known_routers.",
    "PATH.log": "The key log: every key that was seen, and how it was judged. Lines are only ever appended.",
}
ENVIRONMENT: Final = {"XDG_STATE_HOME": "The directory of the state of programs; ~/.local/state by default."}
EXIT_CODES: Final = {
    0: "Done.",
    1: "It failed; the file is as it was.",
    2: "The command cannot be run as asked.",
    130: "Interrupted with Ctrl-C.",
}
KnownRoutersPath: TypeAlias = Annotated[
    Path | None, typer.Option("--known-routers", metavar="PATH", help="The file, if it is not the default one.")
]
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object, and failures on stderr, too.")]
RouterUrl: TypeAlias = Annotated[str, typer.Argument(metavar="URL", help="The router: https://HOST[:PORT], or HOST.")]
app = command_app(
    """Show and decide which key each router is known by; examine attestations and audit logs.

    With --known-routers (in Python: known_routers), a client remembers the first key that a router shows, and refuses
    another one later. First use believes whoever answers first: compare the fingerprint with what the operator says.
    """,
    group_manual(
        examples={
            "nomyo trust list": "The routers that are known:",
            "nomyo trust accept https://api.nomyo.ai": "Accept the key that was refused last:",
            "nomyo trust add --help": "More on one of the commands:",
        },
        exit_codes=EXIT_CODES,
        files=FILES,
    ),
)


@contextmanager
def failures(as_json: bool) -> Iterator[None]:
    """Report failures of the block, and exit."""
    try:
        yield
    except FAILURES as error:
        report_failure(NAME, error, as_json=as_json)
        raise typer.Exit(exit_code(error)) from None


def opened(path: Path | None) -> KnownRouters:
    """Return the known routers of a file; None is the default one."""
    return KnownRouters(default_path() if path is None else Path(file_path("--known-routers", path)))
