"""Reads an HTTP request: a chat completion, or something else that is refused before anything leaves.

Rules:

- Only chat completions at the router's own address are accepted, because all else would travel in clear text.
- Only the header for the security tier counts, and `Authorization` if the API key is taken from it. No header is sent
  on.
- Things that would be ignored are refused instead: a query, another address or tier, `api_key` and `base_url` in the
  body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from .._api_form import Answer, MalformedRequestError
from ..exchange.call import Call
from ..exchange.effects import Timeouts
from ..openai_form.body import read_chat_body
from .answers import refusal

NOWHERE_URL: Final = "https://sealed.invalid/v1"
"""An address that only a transport answers: no resolver knows a name below `invalid` (RFC 2606, section 2)."""

_PATHS: Final = ("/chat/completions", "/v1/chat/completions")
_NOWHERE: Final = httpx.URL(NOWHERE_URL)


@dataclass(frozen=True, slots=True, repr=False)
class ChatRequest:
    """A chat completion to send, and the form in which its caller wants the answer."""

    call: Call
    stream: bool
    include_usage: bool


def read_request(
    request: httpx.Request, body: bytes, router: httpx.URL, api_key: str | None, security_tier: str | None
) -> ChatRequest | Answer:
    """Return the chat completion that a request holds, or the answer that refuses it.

    Args:
        request: A request of httpx or httpx2.
        body: The content of the request.
        router: The router's URL.
        api_key: The API key for the router; None for the client's own.
        security_tier: The tier of a request that names none.
    """
    words = _fault_of_address(request, router)
    if words is not None:
        return refusal(404, words)
    if request.url.query:
        return refusal(400, "a query (extra_query, default_query) cannot travel with a sealed request")
    try:
        wanted = read_chat_body(body, request.headers.get_list("X-Security-Tier"))
    except MalformedRequestError as error:
        return refusal(400, str(error))
    tier = wanted.security_tier or security_tier
    call = Call(wanted.payload, api_key=api_key, security_tier=tier, timeouts=_timeouts(request))
    return ChatRequest(call, stream=wanted.stream, include_usage=wanted.include_usage)


def bearer_token(headers: Mapping[str, str]) -> str:
    """Return the API key in a request's `Authorization` header; "" if there is none."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else ""


def _fault_of_address(request: httpx.Request, router: httpx.URL) -> str | None:
    target = httpx.URL(str(request.url))
    base = next((base for base in (router, _NOWHERE) if _origin(base) == _origin(target)), None)
    if base is None:
        return f"this client speaks to {router} alone: make another one for another base_url"
    prefix = base.path.rstrip("/")
    if request.method != "POST" or target.path not in [prefix + path for path in _PATHS]:
        return "only chat completions travel encrypted: this endpoint is not offered"
    return None


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _timeouts(request: httpx.Request) -> Timeouts | None:
    """Return the timeouts that the HTTP client set for this request; None if it set none (the transport's own hold)."""
    given = request.extensions.get("timeout")
    if not isinstance(given, Mapping):
        return None
    return Timeouts(given.get("connect"), given.get("read"), given.get("write"))
