"""A whole request: the chat completion to seal, and what the answer says of the request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ..._api_form import FormRequest
from ...exchange.protocol import NOT_SEALED, OF_THE_CLIENT
from ..body import parsed_body, tier_named
from .fields import Fields, given, malformed, name_in, object_at
from .messages import messages_of
from .parts import kind_of
from .tools import Tools, tools_of

# What needs a memory on the server: given, it would change the answer.
_REMEMBERED: Final = ("previous_response_id", "conversation", "prompt", "context_management")
# What says nothing to a model here. `store` is answered as false; `include` asks mostly for what servers' tools found;
# `max_tool_calls` bounds these alone; `client_metadata` is an agent's own, for OpenAI.
_WITHOUT_MEANING: Final = frozenset(
    {
        *("background", "background_options", "client_metadata", "include", "max_tool_calls", "store"),
        *("stream_options", "truncation", *_REMEMBERED),
    }
)
_TRANSLATED: Final = frozenset(
    {"input", "instructions", "max_output_tokens", "parallel_tool_calls", "reasoning", "text", "tool_choice", "tools"}
)
# Fields of a chat completion that would contradict what the translation writes.
_OF_A_CHAT: Final = {
    "function_call": "tool_choice",
    "functions": "tools",
    "max_completion_tokens": "max_output_tokens",
    "max_tokens": "max_output_tokens",
    "messages": "input",
    "n": "several requests",
    "reasoning_effort": "reasoning.effort",
    "response_format": "text.format",
    "verbosity": "text.verbosity",
}
_ECHOED: Final[dict[str, Any]] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": None,
    "temperature": None,
    "top_logprobs": 0,
    "top_p": None,
    "user": None,
}
_READ_HERE: Final = _WITHOUT_MEANING | _TRANSLATED | _OF_A_CHAT.keys() | _ECHOED.keys() | NOT_SEALED | {"model"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesRequest(FormRequest):
    """A request for a response."""

    stream: bool
    tools: Tools
    echo: dict[str, Any] = field(repr=False)
    """The fields of the response that say what was asked for."""


def read_responses_request(body: bytes, header_tiers: Sequence[str]) -> ResponsesRequest:
    """Read a body.

    Args:
        body: JSON in UTF-8.
        header_tiers: The values of the request's `X-Security-Tier` headers.

    Raises:
        MalformedRequestError: The request cannot be sent, or not as its caller meant it.
    """
    fields = parsed_body(body, _READ_HERE)
    _refuse_what_is_not_here(fields)
    stream = fields.get("stream")
    if not isinstance(stream, bool | None):
        raise malformed("stream", "must be true or false")
    if not isinstance(fields.get("model"), str) or not fields["model"]:
        raise malformed("model", "must be a non-empty string")
    tools = tools_of(fields)
    return ResponsesRequest(
        payload=_chat(fields, tools),
        security_tier=tier_named([*header_tiers, fields.get("security_tier")]),
        left_out=tools.left_out,
        stream=bool(stream),
        tools=tools,
        echo=_echo(fields, tools),
    )


def _refuse_what_is_not_here(fields: Fields) -> None:
    for name in sorted(OF_THE_CLIENT & fields.keys()):
        raise malformed(name, "has no place in a request's body: it is a setting of what sends it")
    for name in _REMEMBERED:
        if fields.get(name):
            raise malformed(name, "needs a memory on the server, which is not offered: send the whole input each time")
    if fields.get("background"):
        raise malformed("background", "is not offered: an answer is not kept to be fetched later")
    for name, instead in _OF_A_CHAT.items():
        if fields.get(name) is not None:
            raise malformed(name, f"is no field of a response: here it is {instead}")


def _chat(fields: Fields, tools: Tools) -> dict[str, Any]:
    """Return the chat completion to seal. Fields that are not known here are sent on, as in a chat."""
    not_sent = _WITHOUT_MEANING | _TRANSLATED | NOT_SEALED
    others = {name: value for name, value in fields.items() if name not in not_sent and value is not None}
    return {
        "model": others.pop("model"),
        "messages": messages_of(fields.get("input"), fields.get("instructions")),
        **_tool_fields(fields, tools),
        **_text_fields(object_at(fields.get("text") or {}, "text")),
        **_reasoning_fields(object_at(fields.get("reasoning") or {}, "reasoning")),
        **_renamed(fields, "max_output_tokens", "max_completion_tokens"),
        **_logprobs_fields(fields),
        **others,
    }


def _tool_fields(fields: Fields, tools: Tools) -> dict[str, Any]:
    if not tools.functions:  # without tools, servers refuse the fields that say how to use them
        return {}
    choice = {} if tools.choice is None else {"tool_choice": tools.choice}
    return {"tools": list(tools.functions.values()), **choice, **given(fields, "parallel_tool_calls")}


def _text_fields(text: Fields) -> dict[str, Any]:
    form = object_at(text.get("format") or {"type": "text"}, "text.format")
    kind = kind_of(form, "text.format", ("text", "json_object", "json_schema"))
    verbosity = given(text, "verbosity")
    if kind == "text":
        return verbosity
    if kind == "json_object":
        return {"response_format": {"type": "json_object"}, **verbosity}
    schema = {
        "name": name_in(form, "name", "text.format"),
        **given(form, "description"),
        "schema": object_at(form.get("schema"), "text.format.schema"),
        **given(form, "strict"),
    }
    return {"response_format": {"type": "json_schema", "json_schema": schema}, **verbosity}


def _reasoning_fields(reasoning: Fields) -> dict[str, Any]:
    return _renamed(reasoning, "effort", "reasoning_effort")


def _logprobs_fields(fields: Fields) -> dict[str, Any]:
    included = fields.get("include")
    wanted = isinstance(included, list) and "message.output_text.logprobs" in included
    return {"logprobs": True} if wanted or fields.get("top_logprobs") else {}


def _renamed(fields: Fields, name: str, in_chat: str) -> dict[str, Any]:
    return {in_chat: fields[name]} if fields.get(name) is not None else {}


def _echo(fields: Fields, tools: Tools) -> dict[str, Any]:
    text = fields.get("text") or {}
    reasoning = fields.get("reasoning") or {}
    parallel = fields.get("parallel_tool_calls")
    return {
        **{name: default if fields.get(name) is None else fields[name] for name, default in _ECHOED.items()},
        "parallel_tool_calls": True if parallel is None else parallel,
        "reasoning": {"effort": None, "summary": None, **reasoning},
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "tool_choice": fields.get("tool_choice") or "auto",
        "tools": tools.kept,
    }
