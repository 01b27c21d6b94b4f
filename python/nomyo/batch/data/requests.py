"""Makes a request of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from nomyo._unique_json import parse_unique_json
from nomyo.batch.data.columns import check_there, check_type
from nomyo.batch.data.options import DataOptions
from nomyo.batch.data.plain_values import json_value, parsed_json
from nomyo.batch.data.records import NotText, Reader, Record
from nomyo.batch.data.template import Template, TemplateFaultError
from nomyo.batch.records import BadRow, Row

CUSTOM_ID: Final = "custom_id"
_CODE: Final = "invalid_row"


class _FaultError(Exception):
    """A row has no request. The message has no content."""


class Requests:
    """Makes the requests that the options ask for.

    Args:
        options: What each row asks.

    Raises:
        ValueError: The template cannot be used.
        OSError: The template cannot be read.
    """

    def __init__(self, options: DataOptions) -> None:
        self._options = options
        text = options.template_text()
        self._template = None if text is None else Template(text, str(options.template))
        system = options.system
        self._first = [] if system is None else [{"role": "system", "content": system}]

    @property
    def columns(self) -> set[str] | None:
        """The columns that requests are made of; None for all."""
        if self._template is not None:
            return None if self._template.takes_row else self._template.columns | {CUSTOM_ID}
        return {self._options.prompt_column or self._options.messages_column or "", CUSTOM_ID}

    def check(self, reader: Reader, names: Sequence[str], *, typed: bool) -> None:
        """Check that an input has the columns.

        Args:
            reader: The input.
            names: The columns that it has.
            typed: Whether its columns have types.

        Raises:
            ValueError: A column is missing, or its type is no text.
        """
        prompt, messages = self._options.prompt_column, self._options.messages_column
        for option, name in (("prompt_column", prompt), ("messages_column", messages)):
            if name is not None:
                check_there(option, name, names, reader.name)
                if typed:
                    check_type(option, name, reader, nested=option == "messages_column")
        if self._template is not None:
            for name in sorted(self._template.variables):
                check_there("template", name, names, reader.name)

    def row(self, number: int, place: str, record: Record) -> Row | BadRow:
        """Return the request of a row, or why it has none.

        Args:
            number: Its number in the whole input, from 1.
            place: What its `custom_id` is if it has none.
            record: The row.
        """
        custom_id = _custom_id(record.values.get(CUSTOM_ID), place)
        if record.fault is not None:
            return BadRow(number, _CODE, record.fault, custom_id)
        try:
            messages = self._messages(record.values)
        except (_FaultError, TemplateFaultError) as fault:
            return BadRow(number, _CODE, str(fault), custom_id)
        body = {"model": self._options.model, "messages": [*self._first, *messages], **self._options.parameters}
        return Row(number, custom_id, body)

    def _messages(self, values: Mapping[str, Any]) -> list[Any]:
        if self._options.messages_column is not None:
            return _messages(values.get(self._options.messages_column))
        if self._template is not None:
            prompt: Any = self._template(values)
        else:
            prompt = _there(values, self._options.prompt_column or "")
        return [{"role": "user", "content": _text(prompt)}]


def _there(values: Mapping[str, Any], name: str) -> Any:
    if name not in values:
        raise _FaultError("the row lacks the prompt's column")
    return values[name]


def _text(prompt: Any) -> str:
    if prompt is None:
        raise _FaultError("the prompt is null")
    if isinstance(prompt, NotText):
        raise _FaultError("the prompt is not UTF-8")
    if not isinstance(prompt, str):
        raise _FaultError("the prompt is no text")
    if not prompt.strip():
        raise _FaultError("the prompt is empty")
    return prompt


def _messages(value: Any) -> list[Any]:
    """Return the messages of a row. Arrow gives all of them the same fields, so null ones are left out."""
    if isinstance(value, str):
        value = parsed_json(value.encode(errors="surrogatepass"), parse_unique_json)
        if isinstance(value, str):
            raise _FaultError(value.replace("the line", "messages", 1))
    if isinstance(value, NotText):
        raise _FaultError("messages are not UTF-8")
    if not isinstance(value, list) or not value:
        raise _FaultError("messages are null" if value is None else "messages must be a list that is not empty")
    if not all(isinstance(each, Mapping) and isinstance(each.get("role"), str) for each in value):
        raise _FaultError("each message must have a role")
    return [_without_nulls(json_value(each)) for each in value]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    return [_without_nulls(each) for each in value] if isinstance(value, list) else value


def _custom_id(value: Any, place: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else place
