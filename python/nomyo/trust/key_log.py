"""The key log: every key that was seen of each router, when, and how it was judged.

It lies beside the file of known routers and has its name with `.log` behind it. It is a chained file (`chain.py`):
lines are appended and never changed. A key that a router shows again, judged as before, adds no line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from nomyo.errors import SecurityError
from nomyo.trust.chain import Link, Torn, links

KIND: Final = "nomyo key log 1"


class Judgement(StrEnum):
    """How a key was judged, or what the user decided."""

    FIRST_USE = "first-use"
    """The router was not known: this is its key from now on."""
    KNOWN = "known"
    """The key that the router is known by, after another one was seen."""
    ANNOUNCED = "announced"
    """A key that the user had added: it replaces the one before."""
    CHANGED = "changed"
    """Another key than the one that the router is known by: refused."""
    PINNED = "pinned"
    """A key that matches a pin."""
    UNPINNED = "unpinned"
    """A key that matches no pin: refused."""
    ADDED = "added"
    """The user expects this key (`nomyo trust add`)."""
    ACCEPTED = "accepted"
    """The user accepted this key (`nomyo trust accept`)."""
    FORGOTTEN = "forgotten"
    """The user had the router forgotten (`nomyo trust forget`)."""


REFUSALS: Final = frozenset({Judgement.CHANGED, Judgement.UNPINNED})
MAKE_KNOWN: Final = frozenset({Judgement.FIRST_USE, Judgement.ANNOUNCED, Judgement.ACCEPTED})


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A line of the key log."""

    time: str
    """UTC, ISO 8601, to the second."""
    router: str
    fingerprint: str | None
    """None if a router was forgotten that had shown no key."""
    judged: Judgement

    def as_json(self) -> dict[str, Any]:
        """Return it as values for JSON."""
        return {"time": self.time, "router": self.router, "fingerprint": self.fingerprint, "judged": str(self.judged)}


def log_of(known_routers: Path) -> Path:
    """Return the path of the log that belongs to a file of known routers."""
    return known_routers.with_name(f"{known_routers.name}.log")


def now() -> str:
    """Return the time as the log writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def records(log: Path) -> Iterator[tuple[int, KeyRecord | Torn, str]]:
    """Yield the records of a log, each with its line and its chain; each is verified before it is yielded.

    The chain of a line that a killed process did not finish is empty.

    Raises:
        SecurityError: Somebody altered the log; the message names the line.
        OSError: It cannot be read.
    """
    for found in links(log, KIND):
        if isinstance(found, Link):
            yield found.line, _record(found, log), found.chain
        else:
            yield found.line, found, ""


def _record(link: Link, log: Path) -> KeyRecord:
    entry = link.entry
    try:
        time, router, fingerprint = entry["time"], entry["router"], entry["fingerprint"]
        judged = Judgement(entry["judged"])
    except (KeyError, ValueError):
        raise SecurityError(f"{log}: line {link.line} is no record of a key") from None
    if not isinstance(time, str) or not isinstance(router, str) or not isinstance(fingerprint, str | None):
        raise SecurityError(f"{log}: line {link.line} is no record of a key")
    return KeyRecord(time, router, fingerprint, judged)
