"""The built-in model, which repeats what it was told, so that every answer can be predicted.

- If the conversation ends with a tool's result, the answer quotes it.
- If there are tools, and `tool_choice` is not "none", the answer calls the named tool, or else the first.
- Otherwise, the answer is the text of the last user message.

A token is four characters here, begun ones count: `usage` and `max_tokens` go by that.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from nomyo._finite_json import with_nulls
from nomyo._plurals import counted
from nomyo.serve.router.refusal import Refusal
from nomyo.serve.router.tool_arguments import ArgumentsTooLargeError, tool_arguments

_CHARACTERS_PER_TOKEN: Final = 4
_MAX_CHOICES: Final = 128
_MOST_CHARACTERS: Final = 16 * 1024 * 1024
"""In all choices together. Clients refuse answers of more than 64 MiB, in which a character may take several bytes."""


class EchoModel:
    """Answers chat requests by repeating them, and keeps nothing of them."""

    async def complete(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return a chat completion.

        Raises:
            Refusal: 400, naming the parameter that cannot be honoured.
        """
        return echo_completion(request)

    async def aclose(self) -> None:
        """Do nothing: there is nothing to close."""


def echo_completion(request: Mapping[str, Any]) -> dict[str, Any]:
    """Build the whole completion for a request that has a model and messages. Raises Refusal."""
    count = _optional_integer(request, "n", at_most=_MAX_CHOICES) or 1
    first = _choice(request)
    if count > 1 and count * _characters(first["message"]) > _MOST_CHARACTERS:
        raise Refusal(400, "n choices of this prompt are too large an answer")
    choices = [{"index": 0, **first}, *({"index": index, **_choice(request)} for index in range(1, count))]
    prompt_tokens = sum(_tokens(text_of(message.get("content"))) for message in request["messages"])
    completion_tokens = sum(_message_tokens(choice["message"]) for choice in choices)
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": request["model"],
        "choices": choices,
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def text_of(content: object) -> str:
    """Return the text of a message's content: a string, or a list of parts whose texts are joined by line ends."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    texts = (part.get("text") for part in parts if isinstance(part, dict))
    return "\n".join(text for text in texts if isinstance(text, str))


def _choice(request: Mapping[str, Any]) -> dict[str, Any]:
    messages: Sequence[Mapping[str, Any]] = request["messages"]
    prompt = next((text_of(m.get("content")) for m in reversed(messages) if m["role"] == "user"), "")
    message: dict[str, Any] = {"role": "assistant"}
    if _asks_for_reasoning(request):
        message["reasoning_content"] = (
            f"{counted(len(messages), 'message')} came; the last user message is to be repeated."
        )
    if messages[-1]["role"] == "tool":
        return _spoken(message, f"The tool answered: {text_of(messages[-1].get('content'))}", request)
    tool = _tool_to_call(request)
    if tool is None:
        return _spoken(message, prompt, request)
    call = {
        "name": tool["name"],
        "arguments": _arguments_text(tool, prompt),
    }
    message["content"] = None
    message["tool_calls"] = [{"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": call}]
    return {"message": message, "finish_reason": "tool_calls"}


def _spoken(message: dict[str, Any], text: str, request: Mapping[str, Any]) -> dict[str, Any]:
    text = _up_to_stop(text, request)
    limits = [_optional_integer(request, name) for name in ("max_completion_tokens", "max_tokens")]
    longest = min((limit for limit in limits if limit is not None), default=None)
    whole = longest is None or _tokens(text) <= longest
    message["content"] = text if whole or longest is None else text[: longest * _CHARACTERS_PER_TOKEN]
    return {"message": message, "finish_reason": "stop" if whole else "length"}


def _up_to_stop(text: str, request: Mapping[str, Any]) -> str:
    stop = request.get("stop")
    marks = [stop] if isinstance(stop, str) else [] if stop is None else stop
    if not isinstance(marks, list) or not all(isinstance(mark, str) for mark in marks):
        raise Refusal(400, "stop must be a string or a list of strings")
    found = [position for mark in marks if mark and (position := text.find(mark)) >= 0]
    return text[: min(found, default=len(text))]


def _tool_to_call(request: Mapping[str, Any]) -> dict[str, Any] | None:
    tools = request.get("tools")
    choice = request.get("tool_choice")
    if not tools or choice == "none":
        return None
    functions = [_function_of(tool) for tool in tools] if isinstance(tools, list) else []
    if not functions or not all(isinstance(function.get("name"), str) for function in functions):
        raise Refusal(400, "tools must be a list of functions, each with a name")
    if not isinstance(choice, dict):
        return functions[0]
    name = _function_of(choice).get("name")
    found = next((function for function in functions if function["name"] == name), None)
    if found is None:
        raise Refusal(400, "tool_choice names a function that is not among the tools")
    return found


def _arguments_text(tool: Mapping[str, Any], prompt: str) -> str:
    try:
        arguments = tool_arguments(tool.get("parameters"), prompt)
        return json.dumps(with_nulls(arguments), ensure_ascii=False, allow_nan=False)
    except (ArgumentsTooLargeError, ValueError):  # the latter of an integer of more digits than Python writes
        pass
    raise Refusal(400, "tools ask for arguments that are too large")


def _function_of(tool: object) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, dict) else None
    return function if isinstance(function, dict) else {}


def _asks_for_reasoning(request: Mapping[str, Any]) -> bool:
    return request.get("reasoning_effort") not in (None, "none") or "reason" in request["model"].lower()


def _optional_integer(request: Mapping[str, Any], name: str, at_most: int | None = None) -> int | None:
    value = request.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or (at_most and value > at_most):
        raise Refusal(400, f"{name} must be a whole number from 1" + (f" to {at_most}" if at_most else ""))
    return value


def _message_tokens(message: Mapping[str, Any]) -> int:
    spoken = _tokens(message["content"] or "") + _tokens(message.get("reasoning_content", ""))
    return spoken + sum(_tokens(call["function"]["arguments"]) for call in message.get("tool_calls", ()))


def _characters(message: Mapping[str, Any]) -> int:
    calls = sum(len(call["function"]["arguments"]) for call in message.get("tool_calls", ()))
    return len(message["content"] or "") + calls


def _tokens(text: str) -> int:
    return -(-len(text) // _CHARACTERS_PER_TOKEN)
