"""The tokens that rows of an output took, as they stand there: in the answer's `usage`, or beside a sealed row."""

from __future__ import annotations

import json
import re
from typing import Final

from nomyo.batch.budget import Tokens, added
from nomyo.batch.records import Mark, tokens_of
from nomyo.responses import ChatCompletionResponse

_BESIDE: Final = re.compile(rb',"tokens":\[([0-9]{1,16}),([0-9]{1,16})\],"error":null\}\n\Z')
_BYTES_PER_TOKEN: Final = 4


def row_tokens(row: bytes, mark: Mark) -> tuple[int, int] | None:
    """Return the tokens of the prompt and of the answer of a row; None for a sealed row that does not show them.

    A row that failed has none. If the router gave no `usage`, the answer is counted by its length.
    """
    if mark.failed:
        return 0, 0
    if mark.sealed:
        shown = _BESIDE.search(row)
        return None if shown is None else (int(shown[1]), int(shown[2]))
    return _of_usage(row) or (0, len(row) // _BYTES_PER_TOKEN)


def _of_usage(row: bytes) -> tuple[int, int] | None:
    """Return the tokens that an answer's `usage` has; None if there are none. A parser's errors stay in here."""
    try:
        response = json.loads(row)["response"]["body"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    tokens = tokens_of(ChatCompletionResponse(response)) if isinstance(response, dict) else (0, 0)
    return tokens if any(tokens) else None


class RowTokens:
    """The tokens of rows, added up."""

    def __init__(self) -> None:
        self.total: Tokens = (0, 0)
        self.largest_answer = 0
        self.hidden = 0
        """How many sealed rows do not show theirs."""

    def add(self, row: bytes, mark: Mark) -> None:
        """Add a row."""
        tokens = row_tokens(row, mark)
        if tokens is None:
            self.hidden += 1
            return
        self.total = added(self.total, tokens)
        self.largest_answer = max(self.largest_answer, tokens[1])
