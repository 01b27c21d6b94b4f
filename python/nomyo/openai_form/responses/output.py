"""The items of an answer: what the model reasoned, what it said, and which tools it calls, in this order."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..._api_form import UnfitAnswerError
from ..._finite_json import finite_pieces, utf8_json
from .tools import INPUT, Tools

Item = dict[str, Any]

MAX_CALLS: Final = 1024
"""The most calls of an answer, because each takes some hundred bytes more in a response than in a completion."""
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_INCOMPLETE: Final = {"length": "max_output_tokens", "content_filter": "content_filter"}
_CITATION: Final = {"start_index": int, "end_index": int, "url": str, "title": str}


@dataclass(frozen=True, slots=True, repr=False)
class Output:
    """What a model answered."""

    id: str
    """The part that the IDs of the response and of its items have in common."""
    items: list[Item]
    incomplete: str | None
    """Why the answer is not whole: `max_output_tokens` or `content_filter`; None if it is."""


def output_of(completion: Mapping[str, Any], tools: Tools) -> Output:
    """Return the items of a completion's first choice; a request cannot ask for a second one.

    Raises:
        UnfitAnswerError: It is not clear what the model said.
    """
    choice = _first_choice(completion)
    message = choice.get("message", choice.get("delta"))
    if not isinstance(message, Mapping):
        raise UnfitAnswerError("the router's answer has no message")
    given_id = completion.get("id")
    common_id = given_id if isinstance(given_id, str) and _ID.fullmatch(given_id) else uuid.uuid4().hex
    reason = choice.get("finish_reason")
    incomplete = _INCOMPLETE.get(reason) if isinstance(reason, str) else None
    items = [*_reasoning(message), *_calls(message, tools)]
    said = _said(message, choice.get("logprobs"))
    if said or not items:
        items.insert(1 if items and items[0]["type"] == "reasoning" else 0, _message(said))
    for place, item in enumerate(items):
        last = place == len(items) - 1
        item["id"] = f"{_PREFIXES[item['type']]}_{common_id}_{place}"
        item["status"] = "incomplete" if incomplete and last else "completed"
    return Output(common_id, items, incomplete)


_PREFIXES: Final = {"reasoning": "rs", "message": "msg", "function_call": "fc", "custom_tool_call": "ctc"}


def _first_choice(completion: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = completion.get("choices")
    found = [choice for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, list) else []
    if not found:
        raise UnfitAnswerError("the router's answer has no choices")
    return next((choice for choice in found if choice.get("index") == 0), found[0])


def _reasoning(message: Mapping[str, Any]) -> list[Item]:
    for name in ("reasoning_content", "reasoning"):
        text = message.get(name)
        if isinstance(text, str) and text:
            return [{"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": text}]}]
    return []


def _message(parts: list[Item]) -> Item:
    return {"type": "message", "role": "assistant", "content": parts or [_text("", [], [])]}


def _said(message: Mapping[str, Any], logprobs: Any) -> list[Item]:
    text, refusal = _text_of(message.get("content"))
    refused = message.get("refusal")
    refusal += refused if isinstance(refused, str) else ""
    parts = [_text(text, _annotations(message.get("annotations")), _logprobs(logprobs))] if text else []
    return [*parts, {"type": "refusal", "refusal": refusal}] if refusal else parts


def _text(text: str, annotations: list[Item], logprobs: list[Any]) -> Item:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": logprobs}


def _text_of(content: Any) -> tuple[str, str]:
    """Return the text and the refusal in a message's content."""
    if content is None or isinstance(content, str):
        return content or "", ""
    said: dict[str, list[str]] = {"text": [], "refusal": []}
    for part in content if isinstance(content, list) else [None]:
        kind, value = _told_by(part)
        said[kind].append(value)
    return "".join(said["text"]), "".join(said["refusal"])


def _told_by(part: Any) -> tuple[str, str]:
    """Return whether a part of content is text or a refusal, and what it says."""
    kinds = {"text": "text", "output_text": "text", "refusal": "refusal"}
    kind = kinds.get(str(part.get("type"))) if isinstance(part, Mapping) else None
    if kind is None or not isinstance(part.get(kind), str):
        raise UnfitAnswerError("the content of the router's answer is no text")
    return kind, part[kind]


def _annotations(given: Any) -> list[Item]:
    """Return the citations of a message. Malformed ones are left out, since they say nothing of what was meant."""
    found = [each.get("url_citation") for each in given if isinstance(each, Mapping)] if isinstance(given, list) else []
    return [
        {"type": "url_citation", **{name: citation[name] for name in _CITATION}}
        for citation in found
        if isinstance(citation, Mapping) and _is_citation(citation)
    ]


def _is_citation(fields: Mapping[str, Any]) -> bool:
    return all(isinstance(fields.get(name), kind) for name, kind in _CITATION.items())


def _logprobs(given: Any) -> list[Item]:
    content = given.get("content") if isinstance(given, Mapping) else None
    return [{**token, "top_logprobs": _tokens(entry.get("top_logprobs"))} for entry, token in _told_tokens(content)]


def _tokens(given: Any) -> list[Item]:
    return [token for _, token in _told_tokens(given)]


def _told_tokens(given: Any) -> Iterator[tuple[Mapping[str, Any], Item]]:
    """Yield the log probabilities of tokens, and each as a response has it. Malformed ones are left out."""
    for entry in given if isinstance(given, list) else []:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("token"), str):
            continue
        if isinstance(entry.get("logprob"), (int, float)):
            octets = entry.get("bytes")
            told = {"token": entry["token"], "bytes": octets if isinstance(octets, list) else []}
            yield entry, {**told, "logprob": entry["logprob"]}


def _calls(message: Mapping[str, Any], tools: Tools) -> Iterator[Item]:
    calls = message.get("tool_calls")
    if calls is None:
        old = message.get("function_call")  # the form before tools had IDs
        calls = [] if old is None else [{"function": old}]
    if not isinstance(calls, list):
        raise UnfitAnswerError("the tool calls of the router's answer are no list")
    if len(calls) > MAX_CALLS:
        raise UnfitAnswerError(f"the router's answer has {len(calls)} tool calls: a response has {MAX_CALLS} at most")
    known: set[str] = set()
    for call in calls:
        given_id = call.get("id") if isinstance(call, Mapping) else None
        # The result of a call is told by the call's ID, so that each needs one of its own.
        is_own = isinstance(given_id, str) and given_id and given_id not in known
        call_id = str(given_id) if is_own else f"call_{uuid.uuid4().hex}"
        known.add(call_id)
        yield {"call_id": call_id, **_called(call, tools)}


def _called(call: Any, tools: Tools) -> Item:
    of_kind = {kind: call.get(kind) for kind in ("function", "custom")} if isinstance(call, Mapping) else {}
    function = next((each for each in of_kind.values() if isinstance(each, Mapping)), {})
    name = function.get("name")
    if not isinstance(name, str) or not name:
        raise UnfitAnswerError("a tool call in the router's answer names no function")
    tool = tools.named(name)
    named = {"name": tool.name} if tool.namespace is None else {"name": tool.name, "namespace": tool.namespace}
    if "input" in function and "arguments" not in function:
        return {"type": "custom_tool_call", **named, "input": _as_text(function["input"])}
    arguments = _as_text(function.get("arguments"))
    if tool.kind == "custom":
        return {"type": "custom_tool_call", **named, "input": _one_string(arguments)}
    return {"type": "function_call", **named, "arguments": _finite(arguments) or "{}"}


def _as_text(arguments: Any) -> str:
    """Return the arguments of a call as text. Some servers write the object itself."""
    if arguments is None:
        return ""
    return arguments if isinstance(arguments, str) else utf8_json(arguments).decode()


def _finite(text: str) -> str:
    """Return a text that callers parse as JSON, with null for each number that JSON does not know."""
    if "NaN" not in text and "Infinity" not in text:
        return text
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return text
    return b"".join(finite_pieces(memoryview(text.encode("utf-8", "surrogatepass")))).decode("utf-8", "surrogatepass")


def _one_string(arguments: str) -> str:
    """Return the input of a custom tool. A model that does not keep to the function's form means the text itself."""
    try:
        parsed = json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments
    given = parsed.get(INPUT) if isinstance(parsed, dict) else None
    return given if isinstance(given, str) else arguments
