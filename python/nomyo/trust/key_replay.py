"""What is known of each router, by the key log alone: for a file of known routers that was removed beside its log.

Without it, whoever removes one file makes every router new, and the next key that comes is believed. OpenSSH has no
log, and asks a person; here the log answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from nomyo.trust.chain import Torn
from nomyo.trust.key_file import Dated, Known
from nomyo.trust.key_log import MAKE_KNOWN, Judgement, KeyRecord, records


def known_by_log(log: Path) -> dict[str, Known]:
    """Return what a log tells; nothing, if there is none.

    Raises:
        SecurityError: Somebody altered it; the message names the line.
        OSError: It cannot be read.
    """
    try:
        return _replayed(record for _, record, _ in records(log) if not isinstance(record, Torn))
    except FileNotFoundError:
        return {}


def _replayed(told: Iterable[KeyRecord]) -> dict[str, Known]:
    known: dict[str, Known] = {}
    for record in told:
        if record.fingerprint is None or record.judged is Judgement.FORGOTTEN:
            known.pop(record.router, None)
            continue
        key = Dated(record.fingerprint, record.time, record.judged)
        known[record.router] = replace(_after(known.get(record.router, Known()), key), last=key)
    return known


def _after(known: Known, key: Dated) -> Known:
    """Return what is known of a router after a record."""
    if key.judged in MAKE_KNOWN or (key.judged is Judgement.PINNED and known.key is None):
        return known.with_key(key)
    if key.judged is Judgement.CHANGED:
        return replace(known, refused=key)
    if key.judged is Judgement.ADDED:
        others = tuple(each for each in known.added if each.fingerprint != key.fingerprint)
        return replace(known, added=(*others, key))
    return known
