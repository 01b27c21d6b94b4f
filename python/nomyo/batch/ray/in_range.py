"""Whether the numbers among options are such, and large enough; said where they are given, not on some node."""

from __future__ import annotations


def check_counts(least: int, **counts: int) -> None:
    """Refuse what is no whole number, or less than `least`.

    Raises:
        TypeError, ValueError: It is so; its name is told.
    """
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")
        if value < least:
            raise ValueError(f"{name} must be {least} or more, not {value}")


def check_amounts(**amounts: float) -> None:
    """Refuse what is no finite number, or less than 0.

    Raises:
        TypeError, ValueError: It is so; its name is told.
    """
    for name, value in amounts.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{name} must be a number, not {type(value).__name__}")
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be a number of 0 or more, not {value}")
