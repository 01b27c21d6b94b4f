"""`nomyo trust audit`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from nomyo._finite_json import ascii_json
from nomyo._plurals import counted
from nomyo._terminal_text import visible_line
from nomyo.cli.command_app import manual
from nomyo.cli.trust.group import EXIT_CODES, AsJson, app, failures
from nomyo.trust.audit_summary import AuditSummary, summary_of

_MOST_SHOWN: Final = 10


@app.command(
    cls=manual(
        examples={
            "nomyo trust audit audit.jsonl": "Verify the log of --audit-log, and sum it up:",
            "nomyo trust audit audit.jsonl --json | jq -r .chain": "The chain of the last line, to be kept elsewhere:",
        },
        exit_codes={**EXIT_CODES, 0: "The log is whole.", 1: "The log was altered, or cannot be read."},
    )
)
def audit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The log that --audit-log wrote, or a copy of it.")],
    as_json: AsJson = False,
) -> None:
    """Verify an audit log, and sum up what it says.

    A line that was altered, removed, inserted or moved is told by its number. The log has no key of its own: who can
    write it can also write another one, or remove lines at its end. Keep the last chain elsewhere to notice that.
    """
    with failures(as_json):
        summary = summary_of(file)
        if as_json:
            print(ascii_json({"ok": True, "file": str(file), **summary.as_json()}))
            return
        for line in _words(str(file), summary):
            print(visible_line(line))


def _words(file: str, summary: AuditSummary) -> Iterator[str]:
    yield f"{file}: the chain of {counted(summary.lines, 'line')} is whole"
    if summary.lines:
        yield f"from {summary.first} to {summary.last}"
        yield f"{summary.request_bytes} bytes sealed and sent, {summary.response_bytes} bytes came back"
    for title, names in (
        ("outcome", summary.outcomes),
        ("router", summary.routers),
        ("router's key", summary.router_keys),
        ("our key", summary.client_keys),
        ("attestation", summary.attestations),
    ):
        yield from _most_frequent(title, names)
    if summary.unlocked_lines:
        yield f"working memory was not all locked after {counted(summary.unlocked_lines, 'request')}"
    for line in summary.torn_lines:
        yield f"line {line} was not finished: its process was killed"
    if summary.chain is not None:
        yield f"chain of the last line: {summary.chain}"


def _most_frequent(title: str, names: Counter[str]) -> Iterator[str]:
    for name, times in names.most_common(_MOST_SHOWN):
        yield f"{title} {name}: {counted(times, 'line')}"
    if len(names) > _MOST_SHOWN:
        yield f"{title}: {len(names) - _MOST_SHOWN} more; --json has them"
