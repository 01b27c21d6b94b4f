"""Shows an answer's metadata to people. A server may have written anything there, of any type and length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, Final

from nomyo._printable import printable

_LONGEST_CHARS: Final = 500
_MOST_FIELDS: Final = 50


def facts_of(response: Mapping[str, Any], seconds: float) -> Iterator[tuple[str, str]]:
    """Yield names and values of an answer's model, usage and metadata, each fit for one line of a terminal.

    Names that the server chose begin with a space, so that none of them passes for a fact of ours.

    Args:
        response: The answer.
        seconds: How long it took.
    """
    yield "last answer", f"after {seconds:.1f} s, from {in_one_line(response.get('model'))}"
    yield "usage", in_one_line(response.get("usage"))
    metadata = response.get("_metadata")
    fields = metadata if isinstance(metadata, Mapping) else {}
    for name, value in islice(fields.items(), _MOST_FIELDS):
        yield f" {in_one_line(name)}", in_one_line(value)
    if len(fields) > _MOST_FIELDS:
        yield " and", f"{len(fields) - _MOST_FIELDS:,} more"


def in_one_line(value: object) -> str:
    """Return any value of an answer as bounded text without line ends and control characters."""
    if value is None:
        return "unknown"
    try:
        text = str(value)
    except ValueError:  # an integer of more digits than Python writes (sys.set_int_max_str_digits)
        return "a number that is too long to show"
    return printable(text, _LONGEST_CHARS) + ("..." if len(text) > _LONGEST_CHARS else "")
