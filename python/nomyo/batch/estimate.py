"""What a batch would be, without sending any of it."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from nomyo.batch.lines import Lines
from nomyo.batch.records import BadRow, Row, read_row
from nomyo.chat import prepare
from nomyo.errors import NomyoError

_BAD_ROWS_SHOWN: Final = 5
_CHARACTERS_PER_TOKEN: Final = 4
"""In English text, by OpenAI's rule of thumb ("What are tokens and how to count them?")."""


@dataclass(slots=True)
class Estimate:
    """How much an input asks for."""

    rows: int = 0
    bad_rows: int = 0
    first_bad_rows: list[BadRow] = field(default_factory=list)
    repeated_custom_ids: int = 0
    """Rows whose custom_id an earlier row has too; each is sent, and has a row of its own in the output."""
    prompt_tokens: int = 0
    """Roughly: a token is four characters."""

    def seconds_at(self, rate: float) -> float | None:
        """Return the least time that the rows take at so many requests a second; None without a limit."""
        return (self.rows - self.bad_rows) / rate if rate > 0 else None


def estimate(path: Path) -> Estimate:
    """Read a whole input; some eight bytes a row stay in memory, to find what is repeated.

    Raises:
        OSError: It cannot be read.
    """
    found = Estimate()
    ids = _Digests()
    characters = 0
    with path.open("rb") as file:
        for number, content in Lines(file):
            row = _checked(read_row(number, content))
            found.rows += 1
            if isinstance(row, BadRow):
                found.bad_rows += 1
                found.first_bad_rows += [row] if found.bad_rows <= _BAD_ROWS_SHOWN else []
                continue
            ids.add(row.custom_id)
            characters += sum(map(len, _texts(row.body["messages"])))
    found.repeated_custom_ids = ids.repeated()
    found.prompt_tokens = characters // _CHARACTERS_PER_TOKEN
    return found


def _checked(row: Row | BadRow) -> Row | BadRow:
    """Refuse a row that cannot be sealed, as a run does; what the router refuses, only a run can tell."""
    if isinstance(row, BadRow):
        return row
    try:
        call = prepare(row.body, None, None, {})[0]
        call.check()
        call.dry_run()
    except (NomyoError, TypeError, ValueError) as error:
        return BadRow(row.line, "invalid_request", str(error), row.custom_id)
    return row


class _Digests:
    """Texts by 64 bits of each: of a million, two are the same by chance once in 37 million batches.

    They are kept in drawers by their first byte, because to sort takes an object for each of those that are sorted.
    """

    def __init__(self) -> None:
        self._drawers = [array("Q") for _ in range(256)]

    def add(self, text: str) -> None:
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest()
        self._drawers[digest[0]].append(int.from_bytes(digest, "big"))

    def repeated(self) -> int:
        """Return how many are the same as an earlier one."""
        return sum(one == another for drawer in self._drawers for one, another in pairwise(sorted(drawer)))


def _texts(messages: Any) -> Iterator[str]:
    """Yield the content of messages, in either of its forms: a text, or parts that may be texts."""
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        parts = content if isinstance(content, list) else [{"text": content}]
        for part in parts:
            text = part.get("text") if isinstance(part, dict) else None
            if isinstance(text, str):
                yield text
