"""Anthropic's error object, which its SDKs and their users read.

Source: https://docs.claude.com/en/api/errors
"""

from __future__ import annotations

from typing import Any, Final

_KINDS: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error_object(status: int, message: str, param: str | None = None) -> dict[str, Any]:
    """Return the body of an error.

    Args:
        status: 400 or above.
        message: For people.
        param: The path of the field that is meant. The form has no place for it but the message.
    """
    kind = _KINDS.get(status, "invalid_request_error" if status < 500 else "api_error")
    words = message if param is None else f"{param}: {message}"
    return {"type": "error", "error": {"type": kind, "message": words}}
