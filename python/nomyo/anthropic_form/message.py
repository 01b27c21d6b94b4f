"""Translates a chat completion into a message of Anthropic's form, whole.

The first choice counts: a request of this form has one. Upstream servers write odd completions, so these rules hold:

- Where the meaning is clear, the message is well formed all the same: a missing `usage` counts 0 tokens, an unknown
  `finish_reason` becomes the one that fits the content, `arguments` may be an object, calls get IDs that differ.
- Arguments that are no JSON object cannot be an `input`. If the model ran out of tokens, the call is left out, because
  it was never finished; otherwise there is no message.
- Reasoning is a thinking block only if the caller asked for thinking: other programs read the first block as the text.
- A message has one block at least, and `MAX_CALLS` calls at most.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from .._api_form import UnfitAnswerError
from .._counts import count
from ..openai_form.chunks import as_text
from .body import MessagesRequest

Block = dict[str, Any]

MAX_CALLS: Final = 1024
"""The most tool calls of a message, because each takes more bytes in a stream than an empty one in the answer."""
MAX_NAME_CHARACTERS: Final = 512
"""The most of an answer's ID or model: a longer one is replaced. The longest real one is a model named by a path."""
_STOP_REASONS: Final = {"length": "max_tokens", "content_filter": "refusal"}
_NOT_OF_AN_ID: Final = re.compile(r"[^A-Za-z0-9_-]", re.ASCII)


def message_of(completion: Mapping[str, Any], request: MessagesRequest) -> dict[str, Any]:
    """Return a chat completion as a message.

    Args:
        completion: A whole chat completion; it is not changed.
        request: What was asked.

    Raises:
        UnfitAnswerError: The completion has no message, or one that this form cannot say.
    """
    choice = _choice(completion)
    said = choice.get("message", choice.get("delta"))
    if not isinstance(said, dict):
        raise UnfitAnswerError("the router's answer has no message")
    cut_off = choice.get("finish_reason") == "length"
    calls = list(_calls(said, completion, cut_off))
    blocks = [*_thinking(said, request), *_texts(said), *calls]
    reason, sequence = _stop(choice, said, bool(calls), request)
    message = {
        "id": _name(completion.get("id")) or f"msg_{_stem(completion)}",
        "type": "message",
        "role": "assistant",
        "model": _name(completion.get("model")) or request.payload["model"],
        "content": blocks or [{"type": "text", "text": ""}],
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": _usage(completion.get("usage")),
    }
    return message | ({"_metadata": completion["_metadata"]} if "_metadata" in completion else {})


def _choice(completion: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = completion.get("choices")
    for choice in choices if isinstance(choices, list) else []:
        if isinstance(choice, dict):
            return choice
    raise UnfitAnswerError("the router's answer has no choices")


def _stem(completion: Mapping[str, Any]) -> str:
    """Return what IDs that are missing begin with: it differs from answer to answer."""
    metadata = completion.get("_metadata")
    given = metadata.get("payload_id") if isinstance(metadata, dict) else None
    return _NOT_OF_AN_ID.sub("", _text(given) or "answer")[:64]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _name(value: Any) -> str:
    """Return a name that the router gives; "" if it is none, or would make the first line of a stream too long."""
    text = _text(value)
    return text if len(text) <= MAX_NAME_CHARACTERS else ""


def _thinking(said: Mapping[str, Any], request: MessagesRequest) -> Iterator[Block]:
    if not request.shows_thinking:
        return
    thought = _text(said.get("reasoning_content")) or _text(said.get("reasoning"))
    if thought:
        yield {"type": "thinking", "thinking": thought, "signature": ""}


def _texts(said: Mapping[str, Any]) -> Iterator[Block]:
    content = as_text(said.get("content"))
    if content is not None and not isinstance(content, str) and content != []:
        raise UnfitAnswerError("the content of the router's answer is not text")
    for text in (content, said.get("refusal")):
        if text and isinstance(text, str):
            yield {"type": "text", "text": text}


def _calls(said: Mapping[str, Any], completion: Mapping[str, Any], cut_off: bool) -> Iterator[Block]:
    used: set[str] = set()
    for place, (given, function) in enumerate(_functions(said)):
        arguments = _input(function.get("arguments"))
        if arguments is None and cut_off:
            continue
        if arguments is None:
            raise UnfitAnswerError("the arguments of a tool call in the router's answer are not a JSON object")
        name = _text(function.get("name"))
        if not name:
            raise UnfitAnswerError("a tool call in the router's answer has no name")
        call = _text(given)
        if not call or call in used:
            call = f"toolu_{_stem(completion)}_{place}"
        used.add(call)
        yield {"type": "tool_use", "id": call, "name": name, "input": arguments}


def _functions(said: Mapping[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Return the calls of a message: the ID of each, and its function."""
    calls = said.get("tool_calls")
    if calls is not None and not isinstance(calls, list):
        raise UnfitAnswerError("the tool calls of the router's answer are no list")
    if not calls:
        legacy = said.get("function_call")
        return [(None, legacy)] if isinstance(legacy, dict) else []
    if len(calls) > MAX_CALLS:
        raise UnfitAnswerError(f"the router's answer has {len(calls)} tool calls: a message has {MAX_CALLS} at most")
    functions = [(call.get("id"), call.get("function")) for call in calls if isinstance(call, dict)]
    found = [(given, {**function}) for given, function in functions if isinstance(function, dict)]
    if len(found) < len(calls):
        raise UnfitAnswerError("a tool call in the router's answer has no function")
    return found


def _input(arguments: Any) -> dict[str, Any] | None:
    """Return the arguments of a call as an object; None if they are none. The parser's errors hold the text."""
    if arguments is None or arguments == "":
        return {}
    parsed = arguments
    if isinstance(arguments, str):
        try:
            parsed = json.loads(arguments)
        except (ValueError, RecursionError):
            parsed = None
    return dict(parsed) if isinstance(parsed, dict) else None


def _stop(
    choice: Mapping[str, Any], said: Mapping[str, Any], calls: bool, request: MessagesRequest
) -> tuple[str, str | None]:
    """Return why the message ended, and the stop sequence that ended it, if the server tells it (vLLM does)."""
    named = _STOP_REASONS.get(_text(choice.get("finish_reason")))
    if named is not None:
        return named, None
    if calls:
        return "tool_use", None
    if _text(said.get("refusal")):
        return "refusal", None
    sequence = choice.get("stop_reason")
    if isinstance(sequence, str) and sequence in request.payload.get("stop", ()):
        return "stop_sequence", sequence
    return "end_turn", None


def _usage(usage: Any) -> dict[str, Any]:
    """Return the counts. Anthropic counts what came from a cache apart from the other input."""
    given = usage if isinstance(usage, dict) else {}
    prompt = count(given.get("prompt_tokens")) or 0
    cached = min(_detail(given, "prompt_tokens_details", "cached_tokens") or 0, prompt)
    counted: dict[str, Any] = {
        "input_tokens": prompt - cached,
        "output_tokens": count(given.get("completion_tokens")) or 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
    }
    thinking = _detail(given, "completion_tokens_details", "reasoning_tokens")
    return counted | ({} if thinking is None else {"output_tokens_details": {"thinking_tokens": thinking}})


def _detail(usage: Mapping[str, Any], details: str, name: str) -> int | None:
    found = usage.get(details)
    return count(found.get(name)) if isinstance(found, dict) else None
