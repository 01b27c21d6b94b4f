"""The rows of an output in the order of the input's, without more of them in memory than there were interruptions.

What one run of a batch appends is in order. So an output consists of stretches, each in order, and these are merged.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import BinaryIO

from nomyo.batch.records import read_mark


def in_order(rows: BinaryIO) -> Iterator[bytes] | None:
    """Return the rows of an output in order; None where they are so already.

    Args:
        rows: The output; must stay open, and is read as the result is.
    """
    starts = _starts(rows)
    if len(starts) == 1:
        return None
    ends = [*starts[1:], rows.seek(0, 2)]
    stretches = [_stretch(rows, start, end) for start, end in zip(starts, ends, strict=True)]
    return (row for _, row in heapq.merge(*stretches, key=lambda numbered: numbered[0]))


def _starts(rows: BinaryIO) -> list[int]:
    """Return where each stretch begins."""
    rows.seek(0)
    starts, place, last = [0], 0, 0
    for row in rows:
        line = _line(row)
        if line < last:
            starts.append(place)
        place, last = place + len(row), line
    return starts


def _stretch(rows: BinaryIO, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    while start < end:
        rows.seek(start)  # another stretch was read meanwhile
        row = rows.readline()
        start += len(row)
        yield _line(row), row


def _line(row: bytes) -> int:
    mark = read_mark(row)
    assert mark is not None, "the journal dropped what is no whole row"
    return mark.line
