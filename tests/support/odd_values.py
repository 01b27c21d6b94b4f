"""Values of every type that JSON has, and then some, in each place of an answer that a server fills as it likes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from support.odd_answers import HEAD, USAGE

DEEP: Final = 190
"""Levels; with those around them, a few less than an answer may have."""
LONG_INTEGER: Final = "9" * 4300  # no digit more can be printed again

# As JSON text, because Python's own writer has no number of its own making for some of them.
VALUES: Final = {
    "null": "null",
    "a number": "5",
    "a text": '"abc"',
    "an empty text": '""',
    "a list": "[1, 2]",
    "an object": "{}",
    "true": "true",
    "false": "false",
    "a negative": "-1",
    "a fraction": "1.5",
    "the largest figure": str(2**53),
    "one more": str(2**53 + 1),
    "a long integer": LONG_INTEGER,
    "a long negative": f"-{LONG_INTEGER}",
    "no number": "NaN",
    "an infinity": "1e999",
    "a long text": json.dumps("x\x1b[2J" * 20_000),
    "half a character": '"\\ud800"',
    "another direction": '"\\u202eabc"',
    "deep lists": "[" * DEEP + "]" * DEEP,
    "deep objects": '{"a":' * DEEP + "NaN" + "}" * DEEP,
    "an object without a word for itself": '{"toString": 1, "valueOf": [], "__class__": 3, "0": 4, "get": 5}',
}

# Where each is put: the names that lead there, through lists by their places.
PLACES: Final[dict[str, tuple[str | int, ...]]] = {
    name: tuple(int(step) if step.isdigit() else step for step in name.split("."))
    for name in (
        "id",
        "object",
        "created",
        "model",
        "service_tier",
        "system_fingerprint",
        "anything_else",
        "usage",
        "usage.prompt_tokens",
        "usage.completion_tokens",
        "usage.total_tokens",
        "usage.prompt_tokens_details",
        "_metadata",
        "_metadata.payload_id",
        "_metadata.processed_at",
        "_metadata.memory_protection",
        "_metadata.anything_else",
        "choices",
        "choices.0",
        "choices.0.index",
        "choices.0.finish_reason",
        "choices.0.logprobs",
        "choices.0.anything_else",
        "choices.0.message",
        "choices.0.message.role",
        "choices.0.message.content",
        "choices.0.message.content.0",
        "choices.0.message.refusal",
        "choices.0.message.reasoning_content",
        "choices.0.message.reasoning_details",
        "choices.0.message.function_call",
        "choices.0.message.tool_calls",
        "choices.0.message.tool_calls.0",
        "choices.0.message.tool_calls.0.index",
        "choices.0.message.tool_calls.0.function",
        "choices.0.message.tool_calls.0.function.arguments",
        "choices.0.message.anything_else",
    )
}
_MARK: Final = "a value comes here"


def answers() -> Iterator[tuple[str, str, str]]:
    """Yield a place, the name of a value, and an answer as JSON text that has it there."""
    for place, steps in PLACES.items():
        template = json.dumps(_with(steps, _MARK))
        for name, value in VALUES.items():
            yield place, name, template.replace(json.dumps(_MARK), value)


def answer_with_each(value: str, content: str = "so") -> str:
    """Return an answer, as JSON text, that has a content and one value in every other place beside it."""
    whole: Any = _with(("choices", 0, "finish_reason"), _MARK)
    whole["choices"][0]["message"]["content"] = content
    for name in ("id", "created", "model", "usage", "service_tier", "system_fingerprint", "anything_else"):
        whole[name] = _MARK
    whole["_metadata"] = {"memory_protection": _MARK, "security_tier": _MARK, "anything_else": _MARK}
    return json.dumps(whole).replace(json.dumps(_MARK), value)


def _with(steps: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": "so"}
    if "tool_calls" in steps:
        function = {"name": "f", "arguments": "{}"}
        message["tool_calls"] = [{"id": "call_1", "type": "function", "index": 0, "function": function}]
    if steps[-2:] == ("content", 0):
        message["content"] = [{"type": "text", "text": "so"}]
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    whole: dict[str, Any] = {**HEAD, "choices": [choice], "usage": dict(USAGE), "_metadata": {"security_tier": "high"}}
    within: Any = whole
    for step in steps[:-1]:
        within = within[step]
    within[steps[-1]] = value
    return whole
