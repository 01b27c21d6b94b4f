"""What a caller asks for: the body of a chat completion, and how it is to travel."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.datastructures import Headers

from nomyo.errors import SecurityError
from nomyo.exchange.protocol import SECURITY_TIERS, check_security_tier
from nomyo.serve.proxy.refusal import Refusal

# They would send the request, and the proxy's API key with it, wherever the caller likes.
_SETTINGS_OF_THE_PROXY: Final = ("api_key", "base_url")
# How the answer is told to the caller is the proxy's business: the router gives it whole.
_NOT_FOR_THE_ROUTER: Final = ("security_tier", "stream", "stream_options")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A request, checked; its content is not in its repr."""

    payload: dict[str, Any] = field(repr=False)
    """What is sealed: the body as it came, without what concerns the way."""
    security_tier: str | None
    stream: bool
    include_usage: bool


def check_head(headers: Headers) -> None:
    """Check what can be told before the body is read.

    Raises:
        Refusal: 415. A form cannot send JSON, and a page of another origin not without asking first.
    """
    media_type = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise Refusal(415, "unsupported_media_type", "Content-Type must be application/json")
    if headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise Refusal(415, "unsupported_media_type", "A compressed body is not accepted")


def read_chat_request(body: bytes, headers: Headers, default_tier: str | None) -> ChatRequest:
    """Read a request.

    Args:
        body: JSON in UTF-8.
        headers: The request's.
        default_tier: The security tier, where none is named.

    Raises:
        Refusal: 400, naming the field.
    """
    asked = _parsed(body)
    for name in _SETTINGS_OF_THE_PROXY:
        if name in asked:
            raise _invalid(f"{name} is a setting of the proxy, not of a request", name)
    if not isinstance(asked.get("model"), str) or not asked["model"]:
        raise _invalid("model must be a non-empty string", "model")
    if not isinstance(asked.get("messages"), list) or not asked["messages"]:
        raise _invalid("messages must be a non-empty list", "messages")
    stream = asked.get("stream")
    if not isinstance(stream, bool | None):
        raise _invalid("stream must be true or false", "stream")
    return ChatRequest(
        payload={name: value for name, value in asked.items() if name not in _NOT_FOR_THE_ROUTER},
        security_tier=_tier(asked, headers) or default_tier,
        stream=bool(stream),
        include_usage=_include_usage(asked),
    )


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        asked = json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError):
        asked = None
    if not isinstance(asked, dict):
        raise _invalid("The body must be one JSON object in UTF-8")
    return asked


def _tier(asked: dict[str, Any], headers: Headers) -> str | None:
    named = [*headers.getlist("X-Security-Tier"), asked.get("security_tier")]
    tiers = [tier for tier in named if tier is not None]
    if not tiers:
        return None
    try:
        for tier in tiers:
            check_security_tier(tier)
    except (TypeError, ValueError, SecurityError):
        tiers.append("")
    if any(tier != tiers[0] for tier in tiers):
        words = f"The security tier must be one of: {', '.join(SECURITY_TIERS)}; the same wherever it is named"
        raise _invalid(words, "security_tier")
    return str(tiers[0])


def _include_usage(asked: dict[str, Any]) -> bool:
    options = asked.get("stream_options")
    return isinstance(options, dict) and options.get("include_usage") is True


def _invalid(words: str, param: str | None = None) -> Refusal:
    return Refusal(400, "invalid_request", words, param=param)
