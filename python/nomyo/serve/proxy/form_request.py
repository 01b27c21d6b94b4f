"""Checks the request of a caller before anything is sealed."""

from __future__ import annotations

from dataclasses import replace

from starlette.datastructures import Headers
from starlette.requests import Request

from nomyo._api_form import ApiForm, MalformedRequestError, RequestT
from nomyo.serve.proxy.refusal import Refusal


def check_head(request: Request, form: ApiForm[RequestT]) -> None:
    """Check what the headers and the URL show, before the body is read.

    Raises:
        Refusal: 415: a form cannot send JSON, and a page of another origin not without asking first. 400: a query.
    """
    media_types = [value.partition(";")[0].strip().lower() for value in request.headers.getlist("Content-Type")]
    if media_types != ["application/json"]:
        raise Refusal(415, "unsupported_media_type", "Content-Type must be application/json, and given once")
    if request.url.query and request.url.query not in form.ignored_queries:
        raise Refusal(400, "invalid_request", "A query cannot travel with a sealed request, and none counts here")
    encodings = {value.strip().lower() for value in request.headers.getlist("Content-Encoding")}
    if not encodings <= {"identity"}:
        raise Refusal(415, "unsupported_media_type", "A compressed body is not accepted")


def read_form_request(form: ApiForm[RequestT], body: bytes, headers: Headers, default_tier: str | None) -> RequestT:
    """Read a request.

    Args:
        form: The form that the caller speaks.
        body: JSON in UTF-8.
        headers: The request's headers.
        default_tier: The security tier of a request that names none.

    Raises:
        Refusal: 400, naming the field.
    """
    try:
        read = form.read(body, headers.getlist("X-Security-Tier"))
        if not isinstance(read.payload.get("model"), str) or not read.payload["model"]:
            raise MalformedRequestError("model must be a non-empty string", "model")
        if not isinstance(read.payload.get("messages"), list) or not read.payload["messages"]:
            raise MalformedRequestError("messages must be a non-empty list", "messages")
    except MalformedRequestError as error:
        raise Refusal(400, "invalid_request", str(error), param=error.param) from None
    return replace(read, security_tier=read.security_tier or default_tier)
