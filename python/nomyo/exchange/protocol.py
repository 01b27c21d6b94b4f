"""The wire between client and router: URLs, headers, bounds, statuses and errors.

Rules of this module: a value that cannot stand in an HTTP header never reaches one (RFC 9110,
section 5.5: control characters, CR and LF above all, would let it smuggle headers in), and
what a server says in an error is bounded and cleaned before it is shown.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from ..errors import (
    APIError,
    AuthenticationError,
    ForbiddenError,
    InvalidRequestError,
    RateLimitError,
    SecurityError,
    ServerError,
    ServiceUnavailableError,
)
from .effects import Request, Response, Timeouts

PAYLOAD_LIMIT_BYTES = 10 * 1024 * 1024
RESPONSE_LIMIT_BYTES = 64 * 1024 * 1024
ERROR_LIMIT_BYTES = 64 * 1024
SERVER_KEY_LIMIT_BYTES = 16 * 1024
MESSAGE_LIMIT_CHARS = 500
SHORTEST_SECRET_CHARS = 8

SECURITY_TIERS = ("standard", "high", "maximum")
# Where a request goes, and which API key goes there: whoever writes a body, or a row of a batch, must not choose them.
OF_THE_CLIENT = frozenset({"api_key", "base_url"})
# What a request may be given beside its content: how it travels, never part of what is sealed.
NOT_SEALED = OF_THE_CLIENT | {"security_tier"}

_ERRORS: dict[int, tuple[type[APIError], str]] = {
    400: (InvalidRequestError, "the router refused the request as malformed"),
    401: (AuthenticationError, "the API key is missing or not valid"),
    403: (ForbiddenError, "the model is not allowed for the requested security tier"),
    404: (APIError, "secure inference not enabled: the router does not offer this endpoint"),
    429: (RateLimitError, "too many requests"),
    500: (ServerError, "the router failed"),
    502: (APIError, "bad gateway"),
    503: (ServiceUnavailableError, "the inference backend is unavailable"),
    504: (APIError, "gateway timeout"),
}


def check_header_value(name: str, value: str) -> None:
    """Refuse a value that cannot be sent as an HTTP header.

    Raises:
        TypeError: It is not a str.
        SecurityError: It has a control or a non-ASCII character.
    """
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if not (value.isascii() and value.isprintable()):
        raise SecurityError(f"{name} has a character that cannot be sent in an HTTP header")


def check_security_tier(tier: str | None) -> None:
    """Refuse a security tier that does not exist.

    Raises:
        TypeError, ValueError: It is not one of `SECURITY_TIERS`.
        SecurityError: It cannot be sent as an HTTP header.
    """
    if tier is None:
        return
    check_header_value("security_tier", tier)
    if tier not in SECURITY_TIERS:
        raise ValueError(f"security_tier must be one of {', '.join(SECURITY_TIERS)}")


def server_key_request(base_url: str, timeouts: Timeouts | None) -> Request:
    """Return the request for the router's public key."""
    headers = {"Accept-Encoding": "identity"}
    return Request("GET", f"{base_url}/pki/public_key", headers, b"", SERVER_KEY_LIMIT_BYTES, timeouts)


def public_key_header(pem: str) -> str:
    """Return a public key as its header carries it, percent-encoded."""
    return quote(pem)


def completion_headers(
    payload_id: str, public_key: str, api_key: str | None, security_tier: str | None
) -> dict[str, str]:
    """Return the headers of an encrypted chat request; all values have been checked.

    Args:
        payload_id: The request's UUID4.
        public_key: Ours, by `public_key_header`.
        api_key: None or empty for none.
        security_tier: None or empty for none.
    """
    headers = {
        "X-Payload-ID": payload_id,
        "X-Public-Key": public_key,
        "Content-Type": "application/octet-stream",
        "Accept-Encoding": "identity",
    }
    if api_key:
        headers["Authorization"] = "Bearer " + api_key  # not by format: a StrEnum's would be its name
    if security_tier:
        headers["X-Security-Tier"] = security_tier
    return headers


def completion_request(base_url: str, headers: dict[str, str], package: bytes, timeouts: Timeouts | None) -> Request:
    """Return the request that carries a sealed package."""
    return Request("POST", f"{base_url}/v1/chat/secure_completion", headers, package, RESPONSE_LIMIT_BYTES, timeouts)


def usable_body(response: Response) -> bytes:
    """Return the body of a response with status 200.

    Raises:
        SecurityError: The body was compressed or larger than its bound.
    """
    if response.fault is not None:
        raise SecurityError(f"the router's answer was refused: {response.fault}")
    return response.body


def error_for(response: Response, api_key: str | None = None) -> APIError:
    """Return the error that a response with another status than 200 stands for, whatever its body.

    A server that quotes the request's API key does not bring it into the error.
    """
    error_class, meaning = _ERRORS.get(response.status, (APIError, "unexpected answer"))
    details = _parsed(_without(response.body, api_key))
    message = _clean(_server_message(details)) or f"HTTP {response.status}: {meaning}"
    return error_class(message, response.status, details, retry_after=response.retry_after)


def _without(body: bytes, api_key: str | None) -> bytes:
    """Return a body without the API key; a very short one is no secret, and may be part of any word."""
    if api_key is None or len(api_key) < SHORTEST_SECRET_CHARS:
        return body
    return body.replace(api_key.encode(), b"[API key]")


def _parsed(body: bytes) -> Any:
    """Return an error body as JSON, or None."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _server_message(details: Any) -> str:
    """Return the server's own words: `{"detail": ...}` or `{"error": {"message": ...}}`."""
    if not isinstance(details, dict):
        return ""
    error = details.get("error")
    nested = error.get("message") if isinstance(error, dict) else error
    for words in (details.get("detail"), nested, details.get("message")):
        if isinstance(words, str):
            return words
    return ""


def _clean(words: str) -> str:
    """Bound a server's words and take out what could forge a log line or steer a terminal."""
    return "".join(c if c.isprintable() else " " for c in words[:MESSAGE_LIMIT_CHARS]).strip()


def add_metadata(response: dict[str, Any], payload_id: str, algorithm: str, processed_at: float | None) -> None:
    """Put the client's part into a response's `_metadata`; it wins over what the server wrote there."""
    metadata = response.get("_metadata")
    if not isinstance(metadata, dict):
        metadata = response["_metadata"] = type(response)()
    metadata["payload_id"] = payload_id
    metadata["processed_at"] = processed_at
    metadata["is_encrypted"] = True
    metadata["encryption_algorithm"] = algorithm
