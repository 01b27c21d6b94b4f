"""Reads the fields of a request, and names the path of each one that is at fault (`messages[2].content[0].type`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._api_form import MalformedRequestError


class Fields:
    """A JSON object of a request. Its repr does not show its content.

    Args:
        value: What should be an object.
        path: Its path in the request; "" for the request itself.

    Raises:
        MalformedRequestError: It is no object.
    """

    __slots__ = ("_values", "path")

    def __init__(self, value: Any, path: str = "") -> None:
        if not isinstance(value, dict):  # what JSON's objects become; asking for any Mapping takes five times as long
            raise MalformedRequestError("must be an object", path or None)
        self._values: Mapping[str, Any] = value
        self.path = path

    def names(self) -> set[str]:
        """Return the names of the fields that are not null."""
        return {name for name, value in self._values.items() if value is not None}

    def get(self, name: str) -> Any:
        """Return the value of a field; None if it is absent."""
        return self._values.get(name)

    def path_of(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def fault(self, name: str, words: str) -> MalformedRequestError:
        """Return the error for a field."""
        return MalformedRequestError(words, self.path_of(name))

    def text(self, name: str) -> str:
        """Return a string, which may be empty."""
        value = self._values.get(name)
        if not isinstance(value, str):
            raise self.fault(name, "must be a string")
        return value

    def filled_text(self, name: str) -> str:
        """Return a string that is not empty."""
        value = self.text(name)
        if not value:
            raise self.fault(name, "must not be empty")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; False if it is absent."""
        value = self._values.get(name)
        if not isinstance(value, bool | None):
            raise self.fault(name, "must be true or false")
        return bool(value)

    def fields(self, name: str) -> Fields | None:
        """Return an object; None if it is absent."""
        value = self._values.get(name)
        return None if value is None else Fields(value, self.path_of(name))

    def needed_fields(self, name: str) -> Fields:
        """Return an object that must be there."""
        return Fields(self._values.get(name), self.path_of(name))

    def entries(self, name: str) -> list[Any]:
        """Return a list; an empty one if it is absent."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.fault(name, "must be a list")
        return value

    def objects(self, name: str) -> list[Fields]:
        """Return a list of objects; an empty one if it is absent."""
        path = self.path_of(name)
        return [Fields(entry, f"{path}[{place}]") for place, entry in enumerate(self.entries(name))]
