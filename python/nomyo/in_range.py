"""Whether numbers that a user gave are such, and in range; refused where they are given, by their names."""

from __future__ import annotations

from math import inf


def check_int(name: str, value: object, least: int, most: int | None = None) -> None:
    """Refuse what is no whole number, or out of range.

    Args:
        name: The option's.
        value: What was given for it.
        least: The smallest that is allowed.
        most: The largest; None where there is none.

    Raises:
        TypeError, ValueError: It is so.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if most is None and value < least:
        raise ValueError(f"{name} must be {least} or more, not {value}")
    if most is not None and not least <= value <= most:
        raise ValueError(f"{name} must lie between {least} and {most}, not {value}")


def check_number(name: str, value: object, least: float, most: float = inf, *, zero: str | None = None) -> None:
    """Refuse what is no number, or not finite, or out of range.

    Args:
        name: The option's.
        value: What was given for it.
        least: The smallest that is allowed.
        most: The largest.
        zero: What 0 stands for, where it is allowed beside the range.

    Raises:
        TypeError, ValueError: It is so.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if (zero is not None and value == 0) or (least <= value <= most and value < inf):
        return
    allowed = f"be {least:,.9g} or more, and finite" if most == inf else f"lie between {least:,.9g} and {most:,.9g}"
    or_zero = "" if zero is None else f", or 0 ({zero})"
    raise ValueError(f"{name} must {allowed}{or_zero}, not {value!r}")
