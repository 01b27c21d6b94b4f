"""Values of Arrow as JSON and CSV can hold them."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from nomyo._finite_json import text_json
from nomyo.batch.data.records import NotText
from nomyo.batch.records import TOO_DEEP, parsed_line

MAX_LEVELS: Final = 200
"""How deeply a value may be nested. Python's recursion ends at some 500 levels of `json_value`, wherever it began."""


def parsed_json(text: bytes, parse: Callable[[str], Any] = json.loads) -> Any:
    """Return the value of a JSON text that is not nested too deeply, or a string that says what is wrong."""
    value = parsed_line(text, parse)
    may_be_deep = text.count(b"[") + text.count(b"{") > MAX_LEVELS
    return TOO_DEEP if may_be_deep and _is_deep(value) else value


def _is_deep(value: Any) -> bool:
    parts: list[Any] = [value]
    for _ in range(MAX_LEVELS):
        parts = [each for part in parts for each in _parts(part)]
        if not parts:
            return False
    return True


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def json_value(value: Any) -> Any:
    """Return a value in JSON's types: bytes as base64, times in ISO's form, durations as seconds, others as text."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return {str(name): json_value(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(each) for each in value]
    if isinstance(value, NotText):
        return None
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    return value.total_seconds() if isinstance(value, timedelta) else str(value)


def cell(value: Any) -> str:
    """Return a value as a cell of CSV: null is empty, and what has parts is JSON."""
    plain = json_value(value)
    if plain is None:
        return ""
    if isinstance(plain, str):
        return utf8_text(plain)
    return text_json(plain)


def utf8_text(text: str) -> str:
    """Return a text with U+FFFD for what UTF-8 cannot hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
