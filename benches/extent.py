"""How much is measured: all of it, or with BENCH_SHORT=1 so little that a run only shows that every part works."""

from __future__ import annotations

import os
from typing import TypeVar

T = TypeVar("T")
SHORT = os.environ.get("BENCH_SHORT") == "1"


def extent(whole: T, short: T) -> T:
    """Return one of the two."""
    return short if SHORT else whole
