"""Writes JSON for other programs, in which NaN and infinities become null.

Routers in Python seal such numbers (log probabilities above all), and Python reads them. JSON does not have them (RFC
8259, section 6), so a reader in another language would refuse the whole answer. This module writes answers that are
passed on, and all JSON that commands print. Elsewhere such a number is refused, or cannot occur.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final

# These are no control characters, so JSON allows them; but line readers such as `str.splitlines` end a line at them.
_LINE_ENDS: Final = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}

# Matches strings, to step over them, and everything that may read as a non-finite number: the names, and numbers with
# an exponent or very many digits. An integer is finite whatever its length.
_NO_NUMBER: Final = re.compile(
    rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|NaN|-?Infinity'
    rb"|(?<![0-9])-?(?:[0-9]++(?:\.[0-9]++)?+[eE][+-]?+[0-9]++|[0-9]{300,}+\.[0-9]++)",
    re.DOTALL,
)


def ascii_json(value: Any, **form: Any) -> str:
    """Return a value as JSON in ASCII.

    Args:
        value: A value of JSON's types.
        form: Of the layout and the order, as `json.dumps` takes them.

    Raises:
        ValueError: The value holds an integer of more digits than Python writes (`sys.set_int_max_str_digits`), or is
            nested too deeply.
    """
    return _written(value, **form)


def utf8_json(value: Any, indent: int | None = None) -> bytes:
    """Return a value as JSON in UTF-8, without spaces between its parts.

    Args:
        value: As for `ascii_json`.
        indent: None writes one line; 0 begins a line at each value.

    Lone surrogates, which UTF-8 does not have, and characters that end a line for some readers are written as escapes.

    Raises:
        ValueError: As from `ascii_json`.
    """
    text = _written(value, separators=(",", ":"), indent=indent, ensure_ascii=False)
    for character, escape in _LINE_ENDS.items():
        text = text.replace(character, escape)
    return text.encode("utf-8", "backslashreplace")  # writes lone surrogates as \udXXX, which is JSON's form, too


def text_json(value: Any, indent: int | None = None) -> str:
    """Return a value as JSON for readers: characters as they are, and escapes for lone surrogates, which UTF-8 lacks.

    Raises:
        ValueError: As from `ascii_json`.
    """
    text = _written(value, indent=indent, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")  # see `utf8_json`


def with_nulls(value: Any) -> Any:
    """Return a copy of a value with null for each non-finite number."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: with_nulls(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [with_nulls(each) for each in value]
    return value


def finite_pieces(text: memoryview) -> Iterator[memoryview | bytes]:
    """Yield the pieces of a JSON text, with null for each non-finite number. No piece of the text is copied."""
    start = 0
    for token in _NO_NUMBER.finditer(text):
        if text[token.start()] != ord('"') and not math.isfinite(float(token[0])):
            yield text[start : token.start()]
            yield b"null"
            start = token.end()
    yield text[start:]


def _written(value: Any, **form: Any) -> str:
    try:
        return _with_nulls_if_needed(value, **form)
    except RecursionError:  # what was parsed from JSON can be nested more deeply than it can be written
        pass
    raise ValueError("a value is nested too deeply to be written as JSON")


def _with_nulls_if_needed(value: Any, **form: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False, **form)
    except ValueError:  # a non-finite number, which is rare: so the copy is made only now
        pass
    return json.dumps(with_nulls(value), allow_nan=False, **form)
