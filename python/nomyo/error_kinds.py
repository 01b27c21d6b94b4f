"""What OpenAI calls the kinds of errors, which its SDKs and their users read.

Source: https://platform.openai.com/docs/guides/error-codes
"""

from __future__ import annotations

from typing import Final

_KINDS: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_kind(status: int) -> str:
    """Return the kind of error that an HTTP status of 400 or above stands for."""
    return _KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
