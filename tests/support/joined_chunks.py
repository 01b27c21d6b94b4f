"""Chunks of a stream put together as clients do."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def joined(deltas: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Put a message together as clients do: texts are joined, list entries found by their index."""
    message: dict[str, Any] = {}
    for delta in deltas:
        _join(message, delta)
    return message


def _join(whole: dict[str, Any], part: Mapping[str, Any]) -> None:
    for name, value in part.items():
        known = whole.get(name)
        if known is None or name in ("index", "type"):
            whole[name] = json.loads(json.dumps(value))
        elif isinstance(known, str):
            whole[name] = known + value
        elif isinstance(known, dict):
            _join(known, value)
        else:
            for entry in value:
                if entry["index"] < len(known):
                    _join(known[entry["index"]], entry)
                else:
                    known.append(json.loads(json.dumps(entry)))


def parts_of(chunks: Iterable[Mapping[str, Any]], index: int = 0) -> list[dict[str, Any]]:
    return [choice for chunk in chunks for choice in chunk["choices"] if choice["index"] == index]
