"""`nomyo trust log` and `verify`."""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeAlias

import typer

from nomyo._finite_json import ascii_json
from nomyo._plurals import counted
from nomyo._terminal_text import visible_line
from nomyo.cli.command_app import FAILED, manual
from nomyo.cli.trust.group import ENVIRONMENT, EXIT_CODES, FILES, AsJson, KnownRoutersPath, app, failures, opened
from nomyo.trust.chain import Torn
from nomyo.trust.key_check import KeyCheck, check_keys
from nomyo.trust.key_log import KeyRecord, records
from nomyo.trust.known_routers import KnownRouters
from nomyo.trust.router_name import router_name

_OneRouter: TypeAlias = Annotated[str | None, typer.Argument(metavar="[URL]", help="The records of this router alone.")]
_LogAsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print one JSON object a line, and failures on stderr, too.")
]
_REMEDY: Final = "`nomyo trust accept` decides which key counts"


@app.command(
    cls=manual(
        examples={
            "nomyo trust log https://api.nomyo.ai": "Every key that this router has shown:",
            "nomyo trust log --json | jq 'select(.judged == \"changed\")'": "The keys that were refused:",
        },
        exit_codes={**EXIT_CODES, 1: "It failed, or the log was altered: what stands before is verified."},
        environment=ENVIRONMENT,
        files=FILES,
    )
)
def log(url: _OneRouter = None, known_routers: KnownRoutersPath = None, as_json: _LogAsJson = False) -> None:
    """Print the key log: time, router, key, and how it was judged. Each line is verified before it is printed."""
    with failures(as_json):
        router = None if url is None else router_name(url)
        for line, record, _ in records(opened(known_routers).log):
            if router is None or (isinstance(record, KeyRecord) and record.router == router):
                print(ascii_json(_as_json(line, record)) if as_json else visible_line(_words(record)))


@app.command(
    cls=manual(
        examples={"nomyo trust verify --json | jq -r .chain": "The chain of the last line, to be kept elsewhere:"},
        exit_codes={
            **EXIT_CODES,
            0: "The log is whole, and the file of known routers agrees with it.",
            1: "The log or the file was altered, they differ, or the file is missing.",
        },
        environment=ENVIRONMENT,
        files=FILES,
    )
)
def verify(known_routers: KnownRoutersPath = None, as_json: AsJson = False) -> None:
    """Verify the key log, and compare the file of known routers with it.

    A line that was altered, removed, inserted or moved is told. The log has no key of its own: who can write it can
    also write another one, or remove lines at its end. Keep the last chain elsewhere to notice that.
    """
    with failures(as_json):
        routers = opened(known_routers)
        check = check_keys(routers)
        if as_json:
            print(ascii_json({"log": str(routers.log), **_check_as_json(check)}))
        else:
            _print_check(routers, check)
    if check.differences or check.is_file_missing:
        raise typer.Exit(FAILED)


def _as_json(line: int, record: KeyRecord | Torn) -> dict[str, Any]:
    if isinstance(record, Torn):
        return {"line": line, "torn_bytes": record.size_bytes}
    return {"line": line, **record.as_json()}


def _words(record: KeyRecord | Torn) -> str:
    if isinstance(record, Torn):
        return f"a line of {counted(record.size_bytes, 'byte')} that was not finished: its process was killed"
    return f"{record.time}  {record.router}  {record.fingerprint or '-'}  {record.judged}"


def _check_as_json(check: KeyCheck) -> dict[str, Any]:
    differences = [
        {"router": router, "of_file": of_file, "of_log": of_log}
        for router, (of_file, of_log) in check.differences.items()
    ]
    return {
        "ok": not check.differences and not check.is_file_missing,
        "file_missing": check.is_file_missing,
        "lines": check.lines,
        "torn_lines": check.torn_lines,
        "chain": check.chain,
        "differences": differences,
    }


def _print_check(routers: KnownRouters, check: KeyCheck) -> None:
    print(visible_line(f"{routers.log}: the chain of {counted(check.lines, 'line')} is whole"))
    if check.is_file_missing:
        words = f"{routers.path} is missing: what the log tells counts, and the next client writes it anew"
        print(visible_line(words))
    if check.chain is not None:
        print(f"chain of the last line: {check.chain}")
    for line in check.torn_lines:
        print(f"line {line} was not finished: its process was killed")
    for router, (of_file, of_log) in check.differences.items():
        words = f"{router}: the file has {of_file or 'no key'}, the log made {of_log or 'no key'} known; {_REMEDY}"
        print(visible_line(words))
