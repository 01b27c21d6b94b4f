"""Checks counts that a server gives. A count that can be calculated with and shown is used; any other is unknown.

A server may write anything where a number is expected. Python's integers have no bound, and printing one of more than
4,300 digits raises a ValueError (`sys.set_int_max_str_digits`). So even the sum of two printable integers may fail.
"""

from __future__ import annotations

from typing import Final

MAX_COUNT: Final = 2**53
"""Every reader of JSON reads whole numbers up to this one exactly (RFC 8259, section 6). No real count is near it."""


def count(value: object) -> int | None:
    """Return a count that a server gives; None for anything but a whole number from 0 to `MAX_COUNT`.

    JSON has one type of number: `3.0` is as whole as `3`.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_COUNT:
        return None
    return int(value) if value == int(value) else None


def total(*counts: int | None) -> int:
    """Return the sum of counts, `MAX_COUNT` at most; an unknown one adds nothing.

    So a sum of sums, too, is a number that every reader of JSON, and a column of 64 bits, can hold.
    """
    return min(sum(each for each in counts if each is not None), MAX_COUNT)
