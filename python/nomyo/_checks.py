"""Checks numeric options; an error names the option."""

from __future__ import annotations

from math import inf


def check_int(name: str, value: object, least: int, most: int | None = None) -> None:
    """Check a whole number.

    Args:
        name: The option's name.
        value: The value to check.
        least: The smallest allowed value.
        most: The largest allowed value; None if there is none.

    Raises:
        TypeError: `value` is not an int.
        ValueError: `value` is outside least..most.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if most is None and value < least:
        raise ValueError(f"{name} must be {least} or more, not {value}")
    if most is not None and not least <= value <= most:
        raise ValueError(f"{name} must lie between {least} and {most}, not {value}")


def check_number(name: str, value: object, least: float, most: float = inf, *, zero: str | None = None) -> None:
    """Check a finite number.

    Args:
        name: The option's name.
        value: The value to check.
        least: The smallest allowed value.
        most: The largest allowed value.
        zero: What 0 means, if 0 is allowed beside the range; None if it is not.

    Raises:
        TypeError: `value` is not a number.
        ValueError: `value` is not finite, or outside least..most.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} must be a number, not {type(value).__name__}")
    if (zero is not None and value == 0) or (least <= value <= most and value < inf):
        return
    allowed = f"be {least:,.9g} or more, and finite" if most == inf else f"lie between {least:,.9g} and {most:,.9g}"
    or_zero = "" if zero is None else f", or 0 ({zero})"
    raise ValueError(f"{name} must {allowed}{or_zero}, not {value!r}")
