"""Reads a request of Anthropic's Messages into the chat completion that is sealed for the router.

- What has a twin in chat completions is translated; what the reader of an answer needs to know is kept beside it.
- Fields about caches, prices and places of Anthropic's servers mean nothing here, and are left out.
- What only Anthropic's servers could do is refused, because the answer would be to another request.
- Fields that Messages do not know are passed on, as with chat completions (`seed`, `repetition_penalty`).

Source: https://docs.claude.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from .._api_form import FormRequest
from ..exchange.protocol import NOT_SEALED, OF_THE_CLIENT
from ..openai_form.body import parsed_body, tier_named
from .content import texts_in
from .fields import Fields
from .tools import choice_of, read_tools
from .turns import chat_messages

_TRANSLATED: Final = {
    "max_tokens",
    "messages",
    "metadata",
    "model",
    "output_config",
    "output_format",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
}
_WITHOUT_MEANING: Final = {
    "anthropic_beta",
    "anthropic_version",
    "betas",
    "cache_control",
    "context_management",
    "diagnostics",
    "inference_geo",
    "service_tier",
    "speed",
    "user_profile_id",
    "workspace_id",
}
_OF_OTHER_SERVERS: Final = ("container", "mcp_servers")
# `reasoning_effort` has three steps on most servers. Anthropic's least budget is 1,024, its usual one for hard tasks
# 16,000 or more.
_LOW_BUDGET_TOKENS: Final = 4_096
_MEDIUM_BUDGET_TOKENS: Final = 16_384
_EFFORTS: Final = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesRequest(FormRequest):
    """A request that was read from a body."""

    stream: bool
    shows_thinking: bool
    """Whether the caller asked for thinking blocks; other programs read the first block as the text."""


def read_messages_body(body: bytes, header_tiers: Sequence[str]) -> MessagesRequest:
    """Read a body.

    Args:
        body: JSON in UTF-8.
        header_tiers: The values of the request's `X-Security-Tier` headers.

    Raises:
        MalformedRequestError: The request cannot be sent, or not as its caller meant it.
    """
    request = _fields_of(body)
    max_tokens = request.get("max_tokens")
    if not isinstance(max_tokens, int) or isinstance(max_tokens, bool) or max_tokens < 1:
        raise request.fault("max_tokens", "must be a whole number of 1 or more")
    return _read(request, header_tiers)


def read_body_to_count(body: bytes, header_tiers: Sequence[str]) -> MessagesRequest:
    """Read a body whose tokens are to be counted: it needs no `max_tokens`; see `read_messages_body`."""
    return _read(_fields_of(body), header_tiers)


def _fields_of(body: bytes) -> Fields:
    return Fields(parsed_body(body, _TRANSLATED | NOT_SEALED))


def _read(request: Fields, header_tiers: Sequence[str]) -> MessagesRequest:
    for name in sorted(OF_THE_CLIENT & request.names()):
        raise request.fault(name, "has no place in a request's body: it is a setting of what sends it")
    for name in _OF_OTHER_SERVERS:
        if request.get(name):
            raise request.fault(name, "is something that only Anthropic's servers have")
    if request.get("n") not in (None, 1):
        raise request.fault("n", "must be 1: an answer in Anthropic's form is one message")
    tools = read_tools(request)
    thinking = request.fields("thinking")
    translated = {
        "model": request.filled_text("model"),
        "messages": [*_system(request), *chat_messages(request)],
        **{name: request.get(name) for name in ("max_tokens", "temperature", "top_p", "top_k")},
        "stop": _stop(request),
        "user": _user(request),
        "reasoning_effort": _effort(request, thinking),
        "response_format": _response_format(request),
        "tools": tools.functions or None,
        **choice_of(request, tools),
    }
    payload = {name: value for name, value in translated.items() if value is not None}
    return MessagesRequest(
        payload=payload | _passed_on(request, payload),
        security_tier=tier_named([*header_tiers, request.get("security_tier")]),
        left_out=tools.left_out,
        stream=request.flag("stream"),
        shows_thinking=_shows_thinking(thinking),
    )


def _passed_on(request: Fields, payload: dict[str, Any]) -> dict[str, Any]:
    names = request.names() - _TRANSLATED - _WITHOUT_MEANING - NOT_SEALED - {*_OF_OTHER_SERVERS, "n"}
    for name in sorted(names & payload.keys()):
        raise request.fault(name, "says the same as another field, in the words of chat completions")
    return {name: request.get(name) for name in sorted(names)}


def _system(request: Fields) -> list[dict[str, Any]]:
    if request.get("system") is None:
        return []
    content = texts_in(request, "system")
    return [{"role": "system", "content": content}] if content else []


def _stop(request: Fields) -> list[str] | None:
    sequences = request.entries("stop_sequences")
    for place, sequence in enumerate(sequences):
        if not isinstance(sequence, str) or not sequence:
            raise request.fault(f"stop_sequences[{place}]", "must be a string that is not empty")
    return sequences or None


def _user(request: Fields) -> str | None:
    metadata = request.fields("metadata")
    if metadata is None or metadata.get("user_id") is None:
        return None
    return metadata.text("user_id")


def _effort(request: Fields, thinking: Fields | None) -> str | None:
    """Return the effort that is asked for. Chat completions cannot say that a model should not reason at all."""
    if thinking is not None and thinking.get("type") == "disabled":
        return None
    config = request.fields("output_config")
    if config is not None and config.get("effort") is not None:
        effort = _EFFORTS.get(config.text("effort"))
        if effort is None:
            raise config.fault("effort", f"must be one of {', '.join(_EFFORTS)}")
        return effort
    if thinking is None or thinking.get("type") != "enabled":
        return None
    budget = thinking.get("budget_tokens")
    if not isinstance(budget, int) or isinstance(budget, bool) or budget < 1:
        raise thinking.fault("budget_tokens", "must be a whole number of 1 or more")
    if budget <= _LOW_BUDGET_TOKENS:
        return "low"
    return "medium" if budget <= _MEDIUM_BUDGET_TOKENS else "high"


def _shows_thinking(thinking: Fields | None) -> bool:
    if thinking is None:
        return False
    kind = thinking.filled_text("type")
    return kind != "disabled" and thinking.get("display") != "omitted"


def _response_format(request: Fields) -> dict[str, Any] | None:
    config = request.fields("output_config")
    wanted = config.fields("format") if config is not None else None
    wanted = wanted or request.fields("output_format")
    if wanted is None:
        return None
    if wanted.get("type") != "json_schema":
        raise wanted.fault("type", "must be json_schema")
    schema = wanted.get("schema")
    if not isinstance(schema, dict):
        raise wanted.fault("schema", "must be an object")
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}}
