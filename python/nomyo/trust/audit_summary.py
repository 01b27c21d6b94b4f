"""Verifies an audit log, and sums up what it says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from nomyo._counts import count, total
from nomyo._files.file_systems import naming
from nomyo._files.opening import at_once
from nomyo._printable import printable
from nomyo.errors import SecurityError
from nomyo.trust.audit_log import KIND
from nomyo.trust.chain import Link, Torn, verified

NO_ERROR: Final = "answered"
_LONGEST_CHARS: Final = 256
_MOST_NAMES: Final = 1000
_OTHERS: Final = "others"


@dataclass(slots=True)
class AuditSummary:
    """What the lines of an audit log say together."""

    lines: int = 0
    torn_lines: list[int] = field(default_factory=list)
    """The numbers of lines that a process did not finish, because it was killed."""
    first: str | None = None
    """The time of the first line."""
    last: str | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    """Lines by error, or `NO_ERROR`; `HTTP 400` for a package that was refused and sealed again."""
    routers: Counter[str] = field(default_factory=Counter)
    router_keys: Counter[str] = field(default_factory=Counter)
    client_keys: Counter[str] = field(default_factory=Counter)
    attestations: Counter[str] = field(default_factory=Counter)
    unlocked_lines: int = 0
    """Lines of requests after which working memory was not all locked."""
    chain: str | None = None
    """That of the last line, which stands for all."""

    def add(self, found: Link | Torn) -> None:
        """Count a line.

        Raises:
            SecurityError: It follows from those before it, but is no line of an audit log.
        """
        if isinstance(found, Torn):
            self.torn_lines.append(found.line)
            return
        self.lines += 1
        self.chain = found.chain
        self._add_entry(found)

    def as_json(self) -> dict[str, Any]:
        """Return all fields under their names."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def _add_entry(self, found: Link) -> None:
        entry, memory = found.entry, found.entry.get("memory")
        time = entry.get("time")
        if not isinstance(time, str) or not isinstance(memory, dict):
            raise SecurityError(f"line {found.line} is no line of an audit log")
        self.last = printable(time, _LONGEST_CHARS)
        self.first = self.first or self.last
        self.request_bytes = total(self.request_bytes, count(entry.get("request_bytes")))
        self.response_bytes = total(self.response_bytes, count(entry.get("response_bytes")))
        self.unlocked_lines += memory.get("unlocked_bytes") != 0
        _count(self.outcomes, _outcome_of(entry))
        for names, member in (
            (self.routers, "router"),
            (self.router_keys, "router_key"),
            (self.client_keys, "client_key"),
            (self.attestations, "attestation"),
        ):
            if isinstance(entry.get(member), str):
                _count(names, entry[member])


def summary_of(path: Path) -> AuditSummary:
    """Verify an audit log line by line, and sum it up. It may be a copy, with any mode and owner.

    Raises:
        SecurityError: A line does not follow from those before it, or is not of such a log; the message names it.
        OSError: It cannot be read.
    """
    summary = AuditSummary()
    with open(path, "rb", opener=at_once) as file, naming(path):
        for found in verified(file, path, KIND):
            summary.add(found)
    return summary


def _outcome_of(entry: dict[str, Any]) -> str:
    error, status = entry.get("error"), count(entry.get("status"))
    if isinstance(error, str):
        return error
    return NO_ERROR if status in (None, 200) else f"HTTP {status}"


def _count(names: Counter[str], name: str) -> None:
    """Count a name, which somebody else may have written: in bounded memory."""
    shown = printable(name, _LONGEST_CHARS)
    names[shown if shown in names or len(names) < _MOST_NAMES else _OTHERS] += 1
