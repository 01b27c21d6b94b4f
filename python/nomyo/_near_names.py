"""Finds the name that was meant by a misspelt one: of a parameter, an option, a field, a command."""

from __future__ import annotations

from collections.abc import Iterable

_CUTOFF = 0.8


def near_name(name: str, known: Iterable[str], cutoff: float = _CUTOFF) -> str | None:
    """Return the known name that is most like a given one.

    Args:
        name: The name that was given.
        known: The names that exist.
        cutoff: How like it has to be, from 0 to 1 (`difflib.SequenceMatcher.ratio`).

    Returns:
        The name; None if none is like enough.
    """
    from difflib import get_close_matches  # only a wrong name needs it, and every start of a program would pay for it

    return next(iter(get_close_matches(name, list(known), 1, cutoff)), None)


def suggestion(name: str, known: Iterable[str], cutoff: float = _CUTOFF) -> str:
    """Return the end of a message, in CPython's words, that says which name may have been meant; empty if none was.

    Args: as of `near_name`.
    """
    near = near_name(name, known, cutoff)
    return "" if near is None else f". Did you mean {near!r}?"


def one_edit_apart(one: str, other: str) -> bool:
    """Return whether a letter more, less or other, or two neighbours changed around, make one name of the other.

    It is stricter than `near_name`, for names that may well be right.
    """
    if abs(len(one) - len(other)) > 1:
        return False
    start = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    first, second = one[start:], other[start:]
    return (
        first[1:] == second[1:]
        or first[1:] == second
        or first == second[1:]
        or (first[:2] == second[1::-1] and first[2:] == second[2:])
    )
