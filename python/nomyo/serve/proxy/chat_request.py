"""What a caller of the proxy asks for, checked before anything is sealed."""

from __future__ import annotations

from dataclasses import replace

from starlette.datastructures import Headers

from nomyo.chat_body import ChatBody, ChatBodyError, read_chat_body
from nomyo.serve.proxy.refusal import Refusal


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


def read_chat_request(body: bytes, headers: Headers, default_tier: str | None) -> ChatBody:
    """Read a request.

    Args:
        body: JSON in UTF-8.
        headers: The request's.
        default_tier: The security tier, where none is named.

    Raises:
        Refusal: 400, naming the field.
    """
    try:
        asked = read_chat_body(body, headers.getlist("X-Security-Tier"))
        if not isinstance(asked.payload.get("model"), str) or not asked.payload["model"]:
            raise ChatBodyError("model must be a non-empty string", "model")
        if not isinstance(asked.payload.get("messages"), list) or not asked.payload["messages"]:
            raise ChatBodyError("messages must be a non-empty list", "messages")
    except ChatBodyError as error:
        raise Refusal(400, "invalid_request", str(error), param=error.param) from None
    return replace(asked, security_tier=asked.security_tier or default_tier)
