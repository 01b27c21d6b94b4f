"""Checks whether the known routers and the key log tell the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from nomyo.trust.chain import Torn
from nomyo.trust.key_log import MAKE_KNOWN, Judgement, records
from nomyo.trust.known_routers import KnownRouters


@dataclass(slots=True)
class KeyCheck:
    """What a check of the log and the file brought."""

    lines: int = 0
    """Lines of the log, all of which follow from those before them."""
    torn_lines: list[int] = field(default_factory=list)
    """Lines that a process did not finish, because it was killed."""
    chain: str | None = None
    """The chain of the last line; whoever keeps it elsewhere notices lines that were removed at the end."""
    is_file_missing: bool = False
    """Whether there is no file beside the log."""
    differences: dict[str, tuple[str | None, str | None]] = field(default_factory=dict)
    """By router: the key of the file, and the one that the log made known last."""


def check_keys(known_routers: KnownRouters) -> KeyCheck:
    """Verify the key log, and compare it with the file.

    Raises:
        SecurityError: The log or the file was altered or is damaged; the message names the line.
        FileNotFoundError: There is no log.
        OSError: They cannot be read.
    """
    check = KeyCheck(is_file_missing=known_routers.is_missing())
    of_log: dict[str, str | None] = {}
    for line, record, chain in records(known_routers.log):
        check.lines = line
        if isinstance(record, Torn):
            check.torn_lines.append(line)
            continue
        check.chain = chain
        if record.judged in MAKE_KNOWN or (record.judged is Judgement.PINNED and of_log.get(record.router) is None):
            of_log[record.router] = record.fingerprint
        elif record.judged is Judgement.FORGOTTEN:
            of_log[record.router] = None
    of_file = dict(_keys(known_routers))
    for router in sorted(of_log.keys() | of_file.keys()):
        if of_log.get(router) != of_file.get(router):
            check.differences[router] = of_file.get(router), of_log.get(router)
    return check


def _keys(known_routers: KnownRouters) -> Iterator[tuple[str, str | None]]:
    for router, known in known_routers.all().items():
        yield router, None if known.key is None else known.key.fingerprint
