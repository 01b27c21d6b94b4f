"""The columns of an answer, from its row in the journal."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from nomyo._counts import count
from nomyo._finite_json import text_json
from nomyo.batch.data.libraries import library
from nomyo.batch.data.plain_values import utf8_text
from nomyo.batch.records import read_mark

RESPONSE: Final = "response"
SEALED: Final = "sealed"
FAILED: Final = "failed"
FIELDS: Final = (RESPONSE, "finish_reason", "usage", "error", "custom_id", "body")
"""What an answer has: its text; why it ended; tokens; an error, or null; its row's name; all of it, as JSON."""
DEFAULT_FIELDS: Final = FIELDS[:-1]
SEALED_FIELDS: Final = (SEALED, FAILED)
"""What a sealed answer has: its row, which `nomyo batch open` opens; and whether it failed."""
_TOO_DEEP: Final = "invalid_answer: the answer is nested too deeply to be read again; its row is in the journal"
_USAGE: Final = ("prompt_tokens", "completion_tokens", "total_tokens")


def types_of(fields: Sequence[str]) -> list[Any]:
    """Return the types of an answer's columns."""
    pa = library("pyarrow")
    special = {"usage": pa.struct([(name, pa.int64()) for name in _USAGE]), FAILED: pa.bool_()}
    return [special.get(name, pa.string()) for name in fields]


def answer_of(line: bytes) -> dict[str, Any]:
    """Return the columns of a row of a journal, sealed or not."""
    mark = read_mark(line)
    assert mark is not None, "the journal has whole rows alone"
    if mark.sealed:
        return {SEALED: line.decode("ascii").rstrip("\n"), FAILED: mark.failed}
    try:
        row = json.loads(line)
        return {"custom_id": _text(row.get("custom_id")), "error": _error(row), **_of_body(_body(row))}
    except (RecursionError, ValueError):  # whoever wrote the row had more of the stack
        pass
    return {**dict.fromkeys(FIELDS), "error": _TOO_DEEP}


def _error(row: dict[str, Any]) -> str | None:
    error = row.get("error")
    if not isinstance(error, dict):
        return None
    return _text(f"{error.get('code')}: {error.get('message')}")


def _body(row: dict[str, Any]) -> Any:
    response = row.get("response")
    return response.get("body") if isinstance(response, dict) and row.get("error") is None else None


def _of_body(body: Any) -> dict[str, Any]:
    if not isinstance(body, dict):
        return dict.fromkeys((RESPONSE, "finish_reason", "usage", "body"))
    choices = body.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    usage = body.get("usage")
    return {
        RESPONSE: _text(message.get("content") if isinstance(message, dict) else None),
        "finish_reason": _text(choice.get("finish_reason")),
        "usage": {name: count(usage.get(name)) for name in _USAGE} if isinstance(usage, dict) else None,
        "body": _text(text_json(body)),
    }


def _text(value: Any) -> str | None:
    return utf8_text(value) if isinstance(value, str) else None
