"""The file of known routers: its form, read strictly and replaced in one step.

A file that is damaged, too large, a link, another user's or open to others is refused, and stays as it is: to forget
what a router was known by would mean to believe the next key that comes.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from nomyo._files.file_systems import naming, write_all
from nomyo._files.new_files import created, remove_leftover
from nomyo._files.new_files import replace as replace_content
from nomyo._files.private_files import private_file, refusal
from nomyo._finite_json import ascii_json
from nomyo._unique_json import parse_unique_json
from nomyo.exchange.settings import is_fingerprint
from nomyo.trust.key_log import Judgement

MAX_BYTES: Final = 4 << 20
MOST_ADDED: Final = 16
_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Dated:
    """A key, since when it is known (or, of one that was added or refused: since when that is so), and how it came."""

    fingerprint: str
    since: str
    judged: Judgement


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one router."""

    key: Dated | None = None
    """The key that it is known by; None if it has shown none since keys were added for it."""
    added: tuple[Dated, ...] = ()
    """Keys that it is expected to show later."""
    refused: Dated | None = None
    """The key that was refused last, if no other was accepted since."""
    last: Dated | None = None
    """The last record of it in the key log."""

    def with_key(self, key: Dated) -> Known:
        """Return it with another key, which is neither expected nor refused any more."""
        added = tuple(each for each in self.added if each.fingerprint != key.fingerprint)
        return replace(self, key=key, added=added, refused=None)


def read_known(path: Path) -> dict[str, Known]:
    """Return what is known, by the routers' names; nothing, if there is no file.

    Raises:
        SecurityError: The file is damaged, or others could have changed it. It stays as it is.
        OSError: It cannot be read.
    """
    try:
        with private_file(path) as descriptor, naming(path), open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return {}
    if len(content) > MAX_BYTES:
        raise refusal(path, f"it is larger than {MAX_BYTES >> 20} MiB")
    try:
        value = parse_unique_json(content.decode("utf-8"))
        if value["version"] != _VERSION or value.keys() != {"version", "routers"}:
            raise ValueError
        return {name: _known(each) for name, each in value["routers"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        damaged = refusal(path, "it is damaged, or not a file of known routers; bring it back from a copy, or move it")
    raise damaged


def content_of(path: Path, known: Mapping[str, Known]) -> bytes:
    """Return what is known as the file has it.

    Raises:
        OSError: It would be larger than `read_known` accepts.
    """
    routers = {name: asdict(each) for name, each in sorted(known.items())}
    content = ascii_json({"version": _VERSION, "routers": routers}, indent=1).encode() + b"\n"
    if len(content) > MAX_BYTES:
        words = f"it would be larger than {MAX_BYTES >> 20} MiB; `nomyo trust forget` makes room"
        raise OSError(errno.EFBIG, words, str(path))
    return content


def write_content(path: Path, content: bytes) -> None:
    """Replace the file, in one step; the caller holds the lock.

    Raises:
        OSError: The disk is full or fails; the file is as it was.
    """
    try:
        with created(path) as descriptor:
            write_all(descriptor, content)
    except FileExistsError:
        remove_leftover(path)
        replace_content(path, [content])


def _known(value: dict[str, Any]) -> Known:
    if value.keys() != {"key", "added", "refused", "last"}:
        raise ValueError
    added = tuple(_dated(each) for each in value["added"])
    key, refused, last = (None if value[name] is None else _dated(value[name]) for name in ("key", "refused", "last"))
    return Known(key, added, refused, last)


def _dated(value: dict[str, Any]) -> Dated:
    if value.keys() != {"fingerprint", "since", "judged"} or not is_fingerprint(value["fingerprint"]):
        raise ValueError
    if not isinstance(value["since"], str):
        raise ValueError
    return Dated(value["fingerprint"], value["since"], Judgement(value["judged"]))
