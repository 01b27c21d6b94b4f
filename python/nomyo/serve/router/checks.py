"""Checks a request before and after it is opened. Every refusal says what is wrong, never what was sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

from starlette.datastructures import Headers

from nomyo._core import PublicKey
from nomyo.errors import SecurityError
from nomyo.exchange.protocol import PADME, RESPONSE_PADDING_HEADER
from nomyo.serve.router.config import DEFAULT_TIER, SECURITY_TIERS
from nomyo.serve.router.refusal import Refusal

_MAX_KEY_CHARACTERS: Final = 16 * 1024
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_CIPHERTEXT: Final = re.compile(rb'"ciphertext"\s*:\s*"([^"\\]*)"')


@dataclass(frozen=True, slots=True)
class RequestHead:
    """The checked values of a request's headers."""

    payload_id: str
    client_key: PublicKey
    security_tier: str
    padded_answer: bool = False
    """Whether the client asks for spaces behind the answer, up to a size of the Padmé scheme."""


def read_head(headers: Headers) -> RequestHead:
    """Check the protocol's headers.

    Raises:
        Refusal: 400, naming the header that is missing, repeated or not acceptable.
    """
    media_type = _only(headers, "Content-Type").partition(";")[0].strip().lower()
    if media_type != "application/octet-stream":
        raise Refusal(400, "Content-Type must be application/octet-stream")
    payload_id = _only(headers, "X-Payload-ID")
    if not _UUID.fullmatch(payload_id):
        raise Refusal(400, "X-Payload-ID must be a UUID")
    tier = _only(headers, "X-Security-Tier") if "X-Security-Tier" in headers else DEFAULT_TIER
    if tier not in SECURITY_TIERS:
        raise Refusal(400, f"X-Security-Tier must be one of: {', '.join(SECURITY_TIERS)}")
    padded_answer = RESPONSE_PADDING_HEADER in headers
    if padded_answer and _only(headers, RESPONSE_PADDING_HEADER) != PADME:
        raise Refusal(400, f"{RESPONSE_PADDING_HEADER} must be {PADME}")
    return RequestHead(payload_id, _client_key(_only(headers, "X-Public-Key")), tier, padded_answer)


def check_plaintext_size(package: bytes, limit_bytes: int) -> None:
    """Refuse a package whose plaintext is longer than allowed, without opening it: GCM adds no bytes (SP 800-38D).

    Raises:
        Refusal: 413.
    """
    if len(package) * 3 // 4 <= limit_bytes:
        return
    found = _CIPHERTEXT.search(package)
    text = found.group(1) if found else b""
    if len(text) * 3 // 4 - text.count(b"=", -2) > limit_bytes:
        raise Refusal(413, f"The decrypted request may have {limit_bytes} bytes at most")


def check_chat_request(request: Mapping[str, Any]) -> None:
    """Check what every chat completion needs: a model and messages.

    Raises:
        Refusal: 400, naming the parameter.
    """
    model = request.get("model")
    if not isinstance(model, str) or not model:
        raise Refusal(400, "model must be a non-empty string")
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Refusal(400, "messages must be a non-empty list")
    if not all(isinstance(message, dict) and isinstance(message.get("role"), str) for message in messages):
        raise Refusal(400, "every message must be an object with a role")


def check_model_allowed(model: str, tier: str, tier_models: Mapping[str, frozenset[str]]) -> None:
    """Check that a tier may use a model.

    Raises:
        Refusal: 403.
    """
    allowed = tier_models.get(tier)
    if allowed is not None and model not in allowed:
        raise Refusal(403, "Model not allowed for the requested security tier")


def _only(headers: Headers, name: str) -> str:
    values = headers.getlist(name)
    if len(values) != 1:
        raise Refusal(400, f"{name} must be given exactly once")
    return values[0]


def _client_key(quoted_pem: str) -> PublicKey:
    if len(quoted_pem) <= _MAX_KEY_CHARACTERS:
        try:
            return PublicKey.from_pem(unquote(quoted_pem, errors="strict"))
        except (SecurityError, UnicodeError):
            pass
    raise Refusal(400, "X-Public-Key must be a percent-encoded RSA public key in PEM, of 2048 to 8192 bits")
