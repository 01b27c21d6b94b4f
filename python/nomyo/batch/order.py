"""Merges the rows of an output into the order of the input; memory holds one row for each interruption.

Each run of a batch appends its rows in order. So an output consists of sorted stretches, one for each run.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import BinaryIO

from nomyo.batch.records import read_mark


def in_order(rows: BinaryIO) -> Iterator[bytes] | None:
    """Return the rows of an output in order; None if they are in order already.

    Args:
        rows: The output. It must stay open, because it is read as the result is consumed.
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
    assert mark is not None, "the journal dropped every line that is not a whole row"
    return mark.line
