"""The dry run: counts rows, finds bad ones and estimates tokens, without sending anything."""

from __future__ import annotations

import hashlib
import time
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

from nomyo._counts import total
from nomyo._create_request import prepare
from nomyo.batch.budget import Budget, Tokens
from nomyo.batch.governor import Limits
from nomyo.batch.records import BadRow, Row
from nomyo.batch.token_estimate import CHARACTERS_PER_TOKEN, TokenEstimate, characters_of
from nomyo.errors import NomyoError

_BAD_ROWS_SHOWN: Final = 5
_REQUESTS_SHOWN: Final = 3


@dataclass(slots=True)
class Estimate:
    """What a dry run found in an input."""

    rows: int = 0
    bad_rows: int = 0
    first_bad_rows: list[BadRow] = field(default_factory=list)
    repeated_custom_ids: int = 0
    """Rows whose `custom_id` an earlier row has, too. Each is sent, and has a row of its own in the output."""
    prompt_tokens: int = 0
    """A rough estimate: a token is counted as four characters."""
    answer_tokens: int = 0
    """A rough estimate: each answer is counted as `max_tokens` of its row, or as 1,000 tokens."""
    first_requests: list[Row] = field(default_factory=list, repr=False)
    """The first three rows that can be sent."""

    @property
    def tokens(self) -> Tokens:
        """The tokens of prompts, and of answers."""
        return self.prompt_tokens, self.answer_tokens

    def seconds_at(self, rate: float) -> float | None:
        """Return the least time in which the rows can be sent at `rate` requests a second; None if `rate` is 0."""
        return (self.rows - self.bad_rows) / rate if rate > 0 else None

    def seconds_at_tokens(self, tokens_per_min: int | None) -> float | None:
        """Return the time that the tokens take at a rate, if they are as estimated; None without a rate."""
        return None if tokens_per_min is None else 60 * total(*self.tokens) / tokens_per_min

    def exceeded(self, budget: Budget, limits: Limits) -> list[str]:
        """Return the limits that would end the batch before its last row, in words; none if nobody knows."""
        times = self.seconds_at(limits.requests_per_s), self.seconds_at_tokens(limits.tokens_per_min)
        least_s = max((each for each in times if each is not None), default=0.0)
        late = budget.deadline_s is not None and time.time() + least_s > budget.deadline_s
        return [each for each in (budget.exceeded_by(self.tokens), "the deadline" if late else None) if each]


def estimate(rows: Iterable[Row | BadRow]) -> Estimate:
    """Read all rows of an input. Some eight bytes for each row stay in memory, to find repeated `custom_id`s.

    Raises:
        ValueError, OSError, BatchError: As the rows raise them.
    """
    found = Estimate()
    ids = _Digests()
    expected = TokenEstimate()
    characters = 0
    for row in map(_checked, rows):
        found.rows += 1
        if isinstance(row, BadRow):
            found.bad_rows += 1
            found.first_bad_rows += [row] if found.bad_rows <= _BAD_ROWS_SHOWN else []
            continue
        found.first_requests += [row] if len(found.first_requests) < _REQUESTS_SHOWN else []
        ids.add(row.custom_id)
        characters += characters_of(row.body["messages"])
        found.answer_tokens = total(found.answer_tokens, expected.of(row.body)[1])
    found.repeated_custom_ids = ids.repeated()
    found.prompt_tokens = characters // CHARACTERS_PER_TOKEN
    return found


def _checked(row: Row | BadRow) -> Row | BadRow:
    """Return a BadRow for a row that cannot be sealed. Which rows the router refuses, only a run can tell."""
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
    """Remembers 64 bits of a digest of each text, to find repeated ones.

    Among a million texts, two digests agree by chance in one of 37 million batches. The digests are kept in buckets by
    their first byte, because sorting makes one Python object for each digest.
    """

    def __init__(self) -> None:
        self._buckets = [array("Q") for _ in range(256)]

    def add(self, text: str) -> None:
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        self._buckets[digest[0]].append(int.from_bytes(digest[:8], "big"))

    def repeated(self) -> int:
        """Return how many texts are the same as an earlier one."""
        return sum(one == another for drawer in self._buckets for one, another in pairwise(sorted(drawer)))
