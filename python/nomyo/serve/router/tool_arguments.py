"""Makes arguments for a tool call from the tool's JSON Schema: all required ones, with the right types.

Enough of JSON Schema for the schemas that people write by hand or that pydantic derives: type, enum, const, default,
properties, required, items, bounds, formats, anyOf/oneOf/allOf and local `$ref`. A pattern is not followed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from nomyo._finite_json import with_nulls

_MAX_DEPTH: Final = 24
MOST_CHARACTERS: Final = 1_000_000
"""A rough bound of the arguments: a schema of 200 bytes that refers to itself twice could stand for 2 ** 24 values."""
_FORMATS: Final = {
    "date": "2025-01-31",
    "date-time": "2025-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "ipv4": "192.0.2.1",
}


def tool_arguments(schema: object, prompt: str) -> dict[str, Any]:
    """Return arguments that fit a schema.

    Args:
        schema: A tool's `parameters`. Anything but an object schema gives no arguments.
        prompt: The source of strings: its last word, or the whole prompt if that word is too short.

    Raises:
        ArgumentsTooLargeError: They would have more than `MOST_CHARACTERS`.
    """
    if not isinstance(schema, dict):
        return {}
    value = _Maker(schema, prompt).value(schema, 0)
    return value if isinstance(value, dict) else {}


class ArgumentsTooLargeError(Exception):
    """A schema asks for arguments that are too large to make."""


class _Maker:
    def __init__(self, root: Mapping[str, Any], prompt: str) -> None:
        self._root = root
        self._prompt = prompt
        self._left = MOST_CHARACTERS
        words = prompt[-200:].split()
        self._word = words[-1].strip(".,;:!?\"'()[]{}") if words else ""

    def value(self, schema: object, depth: int) -> Any:
        """Return a value for one schema; None below a depth that only recursive schemas reach."""
        self._take(1)
        if not isinstance(schema, dict) or depth > _MAX_DEPTH:
            return None
        schema = self._resolved(schema)
        for key in ("const", "default"):
            if key in schema:
                return self._given(schema[key])
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._given(schema["enum"][0])
        return self._typed(schema, depth)

    def _take(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise ArgumentsTooLargeError

    def _given(self, value: Any) -> Any:
        """Return a value that the schema itself gives. Its size counts each time, since it may be referred to often."""
        self._take(len(json.dumps(with_nulls(value), allow_nan=False)))
        return value

    def _typed(self, schema: Mapping[str, Any], depth: int) -> Any:
        match _type_of(schema):
            case "object":
                return self._object(schema, depth)
            case "array":
                return self._array(schema, depth)
            case "string":
                return self._string(schema)
            case "integer":
                return _whole(_number(schema, 1))
            case "number":
                return _number(schema, 0.5)
            case "boolean":
                return True
            case _:
                return None

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        count = min(max(1, _integer(schema.get("minItems"), 1)), 100)
        left = self._left
        item = self.value(schema.get("items"), depth + 1)
        self._take((count - 1) * (left - self._left))
        return [] if item is None else [item] * count

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        required = schema.get("required")
        if not isinstance(properties, dict) or not isinstance(required, list):
            return {}
        return {
            name: self.value(properties.get(name, {"type": "string"}), depth + 1)
            for name in required
            if isinstance(name, str)
        }

    def _string(self, schema: Mapping[str, Any]) -> str:
        form = schema.get("format")
        if isinstance(form, str) and form in _FORMATS:
            return _FORMATS[form]
        shortest = _integer(schema.get("minLength"), 0)
        text = self._word if len(self._word) >= max(shortest, 1) else self._prompt
        text = text.ljust(min(shortest, 10_000), "x")
        text = text[: _integer(schema.get("maxLength"), len(text))]
        self._take(len(text))
        return text

    def _resolved(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        for _ in range(_MAX_DEPTH):
            further = self._one_step(schema)
            if further is None:
                return schema
            schema = further
        return {}

    def _one_step(self, schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
        if isinstance(reference := schema.get("$ref"), str):
            return self._referred(reference)
        for key in ("anyOf", "oneOf", "allOf"):
            choices = schema.get(key)
            if "type" not in schema and isinstance(choices, list) and choices and isinstance(choices[0], dict):
                rest = {name: value for name, value in schema.items() if name != key}
                return {**choices[0], **rest}
        return None

    def _referred(self, reference: str) -> Mapping[str, Any]:
        target: Any = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            name = part.replace("~1", "/").replace("~0", "~")  # RFC 6901, section 4
            target = target.get(name) if isinstance(target, dict) and part else target
        return target if isinstance(target, dict) else {}


def _type_of(schema: Mapping[str, Any]) -> str:
    declared = schema.get("type")
    if isinstance(declared, list):
        declared = next((name for name in declared if name != "null"), "null")
    if isinstance(declared, str):
        return declared
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _number(schema: Mapping[str, Any], otherwise: float) -> float:
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(exclusive := schema.get("exclusiveMinimum"), int | float):
        low = exclusive + 1
    if isinstance(low, int | float):
        return max(otherwise, low)
    return high if isinstance(high, int | float) and high < otherwise else otherwise


def _whole(number: float) -> int:
    if isinstance(number, int):
        return number
    return int(number) if math.isfinite(number) else 1


def _integer(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and value >= 0 else otherwise
