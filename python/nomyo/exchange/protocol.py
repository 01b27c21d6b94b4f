"""The wire between client and router: URLs, headers, bounds, statuses and errors.

Rules of this module:

- A value that cannot stand in an HTTP header never reaches one (RFC 9110, section 5.5): with control characters, CR and
  LF above all, it could smuggle headers in.
- What a server says in an error is bounded and cleaned before it is shown.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias, get_args
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
from .error_body import error_details, message_in
from .redaction import HIDDEN_CREDENTIALS, HIDDEN_KEY, Redaction
from .retries import may_pass
from .wrong_address import REFUSALS, of_status

PAYLOAD_LIMIT_BYTES = 10 * 1024 * 1024
RESPONSE_LIMIT_BYTES = 64 * 1024 * 1024
ERROR_LIMIT_BYTES = 64 * 1024
SERVER_KEY_LIMIT_BYTES = 16 * 1024

RESPONSE_PADDING_HEADER = "X-Response-Padding"
PADME = "padme"

SecurityTier: TypeAlias = Literal["standard", "high", "maximum"]
SECURITY_TIERS: tuple[str, ...] = get_args(SecurityTier)
# Where a request goes, and which API key goes there. The client chooses both, never the author of a body or of a row of
# a batch.
OF_THE_CLIENT = frozenset({"api_key", "base_url"})
# How an answer is handed to its reader. A router gives it whole. Its operator's documents say in one place that it
# ignores these parameters, and in another that it refuses them with 400.
OF_THE_ANSWER = frozenset({"stream", "stream_options"})
# What `create` takes beside the content: it says where and how a request and its answer travel, and is never sealed.
NOT_SEALED = OF_THE_CLIENT | OF_THE_ANSWER | {"security_tier"}

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
        SecurityError: It has a control character, a non-ASCII character, or spaces around it, which are no part of a
            header's value (RFC 9110, section 5.5).
    """
    if isinstance(value, str) and value.strip() != value:
        raise SecurityError(
            f"{name} begins or ends with a space or a line end, which cannot be sent in an HTTP header:"
            " did it come along from the file that it was read from?"
        )
    _check_characters(name, value)


def _check_characters(name: str, value: str) -> None:
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
    _check_characters("security_tier", tier)
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
    payload_id: str, public_key: str, api_key: str | None, security_tier: str | None, *, padded_answer: bool = False
) -> dict[str, str]:
    """Return the headers of an encrypted chat request from values that `Call.check` and `Settings` have checked.

    Args:
        payload_id: The request's UUID4.
        public_key: Ours, by `public_key_header`.
        api_key: None or empty for none.
        security_tier: None or empty for none.
        padded_answer: Whether the router is asked to pad its answer. A field of the sealed payload would reach the
            model of a router that does not know it; a header that a router does not know is ignored (RFC 9110,
            section 5.1).
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
    if padded_answer:
        headers[RESPONSE_PADDING_HEADER] = PADME
    return headers


def completion_request(base_url: str, headers: dict[str, str], package: bytes, timeouts: Timeouts | None) -> Request:
    """Return the request that carries a sealed package."""
    return Request("POST", f"{base_url}/v1/chat/secure_completion", headers, package, RESPONSE_LIMIT_BYTES, timeouts)


def usable_body(response: Response) -> bytes:
    """Return the body of a response with status 200.

    Raises:
        SecurityError: The body was compressed, or larger than its bound.
    """
    if response.fault is not None:
        raise SecurityError(f"the router's answer was refused: {response.fault}")
    return response.body


def error_for(response: Response, *api_keys: str | None) -> APIError:
    """Return the error for a response with a status other than 200, whatever its body.

    Args:
        response: The response.
        api_keys: The API keys that the server may know. It may quote them, or other credentials of the request, in any
            spelling; the error hides them.
    """
    return _error_and_words(response, api_keys)[0]


def server_key_error(response: Response, base_url: str, *api_keys: str | None) -> APIError:
    """Return the error for a refusal to give the key: a router gives it to everybody, unless it is in trouble."""
    error, said = _error_and_words(response, api_keys)
    error.sent = False
    if may_pass(response.status):
        return error
    words = of_status(base_url, response.status, said)
    refused = type(error)(words, response.status, error.error_details, retry_after=error.retry_after, sent=False)
    refused.no_router = response.status not in REFUSALS
    return refused


def _error_and_words(response: Response, api_keys: Iterable[str | None]) -> tuple[APIError, str]:
    """Return the error for a response, and what the server itself says in it."""
    credentials = dict.fromkeys(response.credentials, HIDDEN_CREDENTIALS)
    redaction = Redaction(credentials | dict.fromkeys(filter(None, api_keys), HIDDEN_KEY))
    otherwise = (
        "the router, or a gateway before it, is in trouble" if may_pass(response.status) else "unexpected answer"
    )
    error_class, meaning = _ERRORS.get(response.status, (APIError, otherwise))
    details = error_details(response.body, redaction)
    said = message_in(details, redaction)
    retry_after = response.retry_after
    if retry_after is not None and redaction.text(retry_after) != retry_after:
        retry_after = None  # it quotes a credential
    message = said or f"HTTP {response.status}: {meaning}"
    return error_class(message, response.status, details, retry_after=retry_after), said


def add_metadata(response: dict[str, Any], payload_id: str, algorithm: str, processed_at: float | None) -> None:
    """Put the client's part into a response's `_metadata`; it replaces what the server wrote under these names."""
    metadata = response.get("_metadata")
    if not isinstance(metadata, dict):
        metadata = response["_metadata"] = type(response)()
    metadata["payload_id"] = payload_id
    metadata["processed_at"] = processed_at
    metadata["is_encrypted"] = True
    metadata["encryption_algorithm"] = algorithm
