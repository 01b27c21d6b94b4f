"""Counts rows that failed by the codes of their errors."""

from __future__ import annotations

from collections import Counter
from typing import Final

OTHER: Final = "other"
_MOST_CODES: Final = 100


class ErrorCodes(Counter[str]):
    """Rows by code. A router may send any number of codes: those beyond the first hundred count as `OTHER`."""

    def add(self, code: str, rows: int = 1) -> None:
        """Count a row, or some."""
        self[code if code in self or len(self) < _MOST_CODES else OTHER] += rows
