"""Small stacks of threads: how large they have to be, and what is said on one that is too small."""

from __future__ import annotations

import sys
from typing import Final

KIB: Final = 1024
# From 3.14 on, CPython keeps the low end of every stack for itself: twice its `_PyOS_STACK_MARGIN`, 16 KiB. It refuses
# to call anything from there, in words of its own, and makes no thread with less than 52 KiB.
_IS_KEPT: Final = sys.version_info >= (3, 14)
_KEPT_KIB: Final = 32 if _IS_KEPT else 0
LEAST_KIB: Final = 64 if _IS_KEPT else 32
TOO_SMALL: Final = (
    "MemoryError: the stack of this thread is too small: give threads 256 KiB by threading.stack_size(262144)"
)
_OF_CPYTHON: Final = "RecursionError: Stack overflow"


def stack_bytes(usable_kib: int) -> int:
    """Return how large a stack is of which programs can use so much."""
    return (usable_kib + _KEPT_KIB) * KIB


def says_too_small(line: str) -> bool:
    """Return whether a line is the error of a stack that is too small."""
    return line.startswith((TOO_SMALL, _OF_CPYTHON) if _IS_KEPT else TOO_SMALL)
