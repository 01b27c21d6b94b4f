"""OpenAI's error object, which its SDKs and their users read.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from .._printable import printable

_KINDS: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
_NAMES: Final = ("type", "param", "code")
_MAX_CHARS: Final = 200
UNWRITABLE_WORDS: Final = "the router's answer cannot be written as JSON"
UNWRITABLE_CODE: Final = "unwritable_answer"


def error_object(
    status: int,
    message: str,
    *,
    param: str | None = None,
    code: str | None = None,
    named: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the error object of an answer; for its arguments see `error_answer`."""
    return {"message": message, "type": error_kind(status), "param": param, "code": code, **(named or {})}


def named_in(details: object) -> dict[str, str | int | float]:
    """Return the `type`, `param` and `code` that a server's error body names, if it names them.

    Args:
        details: The parsed body: in OpenAI's form, in FastAPI's with an object in it, or flat as vLLM's.
    """
    body = details if isinstance(details, Mapping) else {}
    for place in (body.get("error"), body.get("detail"), body):
        named = {name: _clean(place.get(name)) for name in _NAMES} if isinstance(place, Mapping) else {}
        found = {name: value for name, value in named.items() if value is not None}
        if found:
            return found
    return {}


def _clean(value: Any) -> str | int | float | None:
    if isinstance(value, str):
        return printable(value, _MAX_CHARS)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if -1e15 < value < 1e15 else None


def error_kind(status: int) -> str:
    """Return the kind of error that an HTTP status of 400 or above stands for."""
    return _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
