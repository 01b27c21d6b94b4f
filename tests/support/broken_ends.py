"""Answers that are whole but for their end: each is refused by its last bytes alone."""

from __future__ import annotations

from collections.abc import Callable


def _with_field(field: str) -> Callable[[str], str]:
    """Add a field behind all others of a JSON object."""
    return lambda answer: f"{answer.rstrip()[:-1]}, {field}}}"


# What is done to an answer whose first field is its `id`.
ENDS: dict[str, Callable[[str], str]] = {
    "last byte": lambda answer: answer[:-1],
    "junk behind": lambda answer: answer + "x",
    "another object behind": lambda answer: answer + "{}",
    "too deep": _with_field(f'"deep": {"[" * 201}{"]" * 201}'),
    "field twice": _with_field('"id": "again"'),
    "field twice, once with an escape": _with_field('"\\u0069d": "again"'),
    "field twice further in": _with_field('"usage2": [{"a": 1, "b": [], "a": 2}]'),
    "long integer": _with_field(f'"n": -1{"0" * 4300}'),
    "half an escape": _with_field('"s": "\\u12"'),
    "control character": _with_field('"s": "\n"'),
    "number without digits": _with_field('"n": -'),
}


def many(values: str, count: int) -> str:
    """Return an answer with so many of a value, the `id` in front."""
    return f'{{"id": "chat-1", "v": [{values * count}0]}}'


# More than Python objects of 512 MiB hold: `many` takes these.
TOO_MANY: dict[str, tuple[str, int]] = {
    "objects": ("{},", 2_700_000),
    "lists": ("[],", 2_700_000),
    "objects with a field": ('{"id":0},', 2_300_000),
    "strings": ('"ab",', 5_700_000),
    "numbers": ("1.5,", 11_500_000),
}
