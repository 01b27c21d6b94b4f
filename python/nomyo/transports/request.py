"""Reads an HTTP request: one for a model, or something else that is refused before anything leaves.

Rules:

- Only chat completions, Responses and Messages at the router's own address are accepted, because all else would travel
  in clear text. The path tells the form.
- Only the header for the security tier counts, and `Authorization` if the API key is taken from it. No header is sent
  on.
- Things that would be ignored are refused instead: a query, another address or tier, `api_key` and `base_url` in the
  body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from .._api_form import Answer, ApiForm, FormRequest, MalformedRequestError
from ..anthropic_form.messages_form import MessagesForm, TokenCountForm
from ..exchange.call import Call
from ..exchange.effects import Timeouts
from ..openai_form.chat_form import ChatForm
from ..openai_form.responses.form import ResponsesForm
from .answers import refusal

NOWHERE_URL: Final = "https://sealed.invalid/v1"
"""An address that only a transport answers: no resolver knows a name below `invalid` (RFC 2606, section 2)."""

_CHAT: Final = ChatForm()
_MESSAGES: Final = MessagesForm()
_FORMS: Final[dict[str, ApiForm[Any]]] = {
    "/chat/completions": _CHAT,
    "/responses": ResponsesForm(),
    "/messages": _MESSAGES,
    "/messages/count_tokens": TokenCountForm(),
}
_NOWHERE: Final = httpx.URL(NOWHERE_URL)


@dataclass(frozen=True, slots=True, repr=False)
class SealedRequest:
    """A chat completion to send, and the form in which its caller wants the answer."""

    call: Call
    form: ApiForm[Any]
    read: FormRequest


def read_request(
    request: httpx.Request, body: bytes, router: httpx.URL, api_key: str | None, security_tier: str | None
) -> SealedRequest | Answer:
    """Return the chat completion that a request holds, or the answer that refuses it.

    Args:
        request: A request of httpx or httpx2.
        body: The content of the request.
        router: The router's URL.
        api_key: The API key for the router; None for the client's own.
        security_tier: The tier of a request that names none.
    """
    form = _form_at(request, router)
    if isinstance(form, str):
        asked_in = _MESSAGES if "anthropic-version" in request.headers else _CHAT
        return refusal(asked_in, 404, form)
    if request.url.query and request.url.query.decode("ascii", "replace") not in form.ignored_queries:
        return refusal(form, 400, "a query (extra_query, default_query) cannot travel with a sealed request")
    try:
        read = form.read(body, request.headers.get_list("X-Security-Tier"))
        if isinstance(form, TokenCountForm):
            return form.estimate(read)
    except MalformedRequestError as error:
        return refusal(form, 400, str(error), param=error.param)
    except ValueError as error:  # a tool whose schema cannot be written, to be counted
        return refusal(form, 400, str(error))
    tier = read.security_tier or security_tier
    call = Call(read.payload, api_key=api_key, security_tier=tier, timeouts=_timeouts(request))
    return SealedRequest(call, form, read)


def bearer_token(headers: Mapping[str, str]) -> str:
    """Return the API key in a request's `Authorization` header; "" if there is none."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    return token.strip(" ") if scheme.lower() == "bearer" else ""


def _form_at(request: httpx.Request, router: httpx.URL) -> ApiForm[Any] | str:
    """Return the form of a request by its path; if nothing is offered there, the words that say so."""
    target = httpx.URL(str(request.url))
    base = next((base for base in (router, _NOWHERE) if _origin(base) == _origin(target)), None)
    if base is None:
        return f"this client speaks to {router} alone: make another one for another base_url"
    prefix = base.path.rstrip("/")
    path = target.path.removeprefix(prefix).removeprefix("/v1") if target.path.startswith(prefix) else ""
    form = _FORMS.get(path) if request.method == "POST" else None
    return form or "only chat completions, responses and messages travel encrypted: this endpoint is not offered"


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _timeouts(request: httpx.Request) -> Timeouts | None:
    """Return the timeouts that the HTTP client set for this request; None if it set none (the transport's own hold)."""
    given = request.extensions.get("timeout")
    if not isinstance(given, Mapping):
        return None
    return Timeouts(given.get("connect"), given.get("read"), given.get("write"))
