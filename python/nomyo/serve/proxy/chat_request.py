"""Checks the request of a caller before anything is sealed."""

from __future__ import annotations

from dataclasses import replace

from starlette.datastructures import Headers
from starlette.requests import Request

from nomyo.openai_form.body import ChatBody, ChatBodyError, read_chat_body
from nomyo.serve.proxy.refusal import Refusal


def check_head(request: Request) -> None:
    """Check what the headers and the URL show, before the body is read.

    Raises:
        Refusal: 415: a form cannot send JSON, and a page of another origin not without asking first. 400: a query.
    """
    media_types = [value.partition(";")[0].strip().lower() for value in request.headers.getlist("Content-Type")]
    if media_types != ["application/json"]:
        raise Refusal(415, "unsupported_media_type", "Content-Type must be application/json, and given once")
    if request.url.query:
        raise Refusal(400, "invalid_request", "A query cannot travel with a sealed request, and none counts here")
    encodings = {value.strip().lower() for value in request.headers.getlist("Content-Encoding")}
    if not encodings <= {"identity"}:
        raise Refusal(415, "unsupported_media_type", "A compressed body is not accepted")


def read_chat_request(body: bytes, headers: Headers, default_tier: str | None) -> ChatBody:
    """Read a request.

    Args:
        body: JSON in UTF-8.
        headers: The request's headers.
        default_tier: The security tier of a request that names none.

    Raises:
        Refusal: 400, naming the field.
    """
    try:
        chat = read_chat_body(body, headers.getlist("X-Security-Tier"))
        if not isinstance(chat.payload.get("model"), str) or not chat.payload["model"]:
            raise ChatBodyError("model must be a non-empty string", "model")
        if not isinstance(chat.payload.get("messages"), list) or not chat.payload["messages"]:
            raise ChatBodyError("messages must be a non-empty list", "messages")
    except ChatBodyError as error:
        raise Refusal(400, "invalid_request", str(error), param=error.param) from None
    return replace(chat, security_tier=chat.security_tier or default_tier)
