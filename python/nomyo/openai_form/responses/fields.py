"""Reads the fields of a request. An error names the path of its field, and shows no content."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..._api_form import MalformedRequestError

Fields = Mapping[str, Any]


def malformed(path: str, words: str) -> MalformedRequestError:
    """Return the error for the field at a path."""
    return MalformedRequestError(f"{path} {words}", path)


def object_at(value: Any, path: str) -> Fields:
    """Return an object.

    Raises:
        MalformedRequestError: It is none.
    """
    if not isinstance(value, Mapping):
        raise malformed(path, "must be an object")
    return value


def list_at(value: Any, path: str) -> list[Any]:
    """Return a list.

    Raises:
        MalformedRequestError: It is none.
    """
    if not isinstance(value, list):
        raise malformed(path, "must be a list")
    return value


def text_in(fields: Fields, name: str, path: str) -> str:
    """Return a field that must be a string.

    Raises:
        MalformedRequestError: It is missing, or no string.
    """
    value = fields.get(name)
    if not isinstance(value, str):
        raise malformed(f"{path}.{name}", "must be a string")
    return value


def name_in(fields: Fields, name: str, path: str) -> str:
    """Return a field that must be a string with something in it.

    Raises:
        MalformedRequestError: It is missing, empty or no string.
    """
    if not (value := text_in(fields, name, path)):
        raise malformed(f"{path}.{name}", "must not be empty")
    return value


def given(fields: Fields, *names: str) -> dict[str, Any]:
    """Return those of some fields that are there and not null, in the order of `names`."""
    return {name: fields[name] for name in names if fields.get(name) is not None}
