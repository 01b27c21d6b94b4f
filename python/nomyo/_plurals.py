"""A number with its noun: `1 row`, `2,000 rows`."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a number and its noun, which gets an `s` unless the number is one."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
