"""Reads JSON from callers, and refuses an object that has a name twice.

RFC 8259, section 4 leaves open which of two equal names counts, so two readers may see two requests in one text. Python
silently takes the last one: a weaker security tier after a stronger one, for example.
"""

from __future__ import annotations

import json
from typing import Any


class RepeatedNameError(ValueError):
    """An object has a name twice. The message does not show the name.

    Args:
        name: The name.
    """

    def __init__(self, name: str) -> None:
        super().__init__("an object has the same name twice")
        self.name = name


def parse_unique_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        RepeatedNameError: An object has a name twice, however it is escaped.
        ValueError, RecursionError: As from `json.loads`; these errors hold the text.
    """
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    for name, _ in pairs:
        if name not in fields:
            raise RepeatedNameError(name)
        del fields[name]
    raise AssertionError
