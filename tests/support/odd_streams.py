"""Answers that a router may give, odd ones among them, and what a client must have put together from their streams."""

from __future__ import annotations

import copy
from typing import Any

from support.odd_answers import completion

LONG = 'é"\x01\U0001f600\u2028' * 30_000


def call(name: str, arguments: Any = '{"a": 1}', **further: Any) -> dict[str, Any]:
    """Return a tool call."""
    function = {"name": name, "arguments": arguments}
    return {"id": f"call_{name}", "type": "function", "function": function, **further}


def message(**fields: Any) -> dict[str, Any]:
    """Return a message of the assistant's."""
    return {"role": "assistant", "content": None, **fields}


def choices(*indices: Any) -> dict[str, Any]:
    """Return an answer whose choices have these indices; no `index` where it is `...`."""
    told = completion(*(message(content=f"text {place}") for place in range(len(indices))))
    for choice, index in zip(told["choices"], indices, strict=True):
        choice["index"] = index
        if index is ...:
            del choice["index"]
    return told


def with_logprobs(count: int) -> dict[str, Any]:
    """Return an answer with log probabilities."""
    top = [{"token": f"other {rank}", "logprob": -1.0 * rank, "bytes": [1, 2, 3]} for rank in range(5)]
    entries = [{"token": f"t{i}", "logprob": -0.5, "bytes": None, "top_logprobs": top} for i in range(count)]
    told = completion(message(content="a" * count))
    told["choices"][0]["logprobs"] = {"content": entries, "refusal": None}
    return told


# Each answer, and where it is not the answer itself what a stream of it must amount to, by the fields of its message.
ANSWERS: dict[str, dict[str, Any]] = {
    "same index": completion(message(tool_calls=[call("f", index=0), call("g", index=0), call("h", index=0)])),
    "null index": completion(message(tool_calls=[call("f", index=None), call("g", index=None)])),
    "index in another order": completion(message(tool_calls=[call("f", index=1), call("g", index=0)])),
    "long arguments": completion(message(tool_calls=[call("f", LONG), call("g", LONG, index=0)])),
    "function call": completion(message(function_call={"name": "f", "arguments": LONG})),
    "long content": completion(message(content=LONG)),
    "long refusal": completion(message(refusal=LONG)),
    "short reasoning": completion(message(content="so", reasoning_content="since")),
    "audio": completion(message(audio={"id": "a", "data": "QUJD" * 30_000, "transcript": LONG, "expires_at": 7})),
    "annotations": completion(message(content="so", annotations=[{"type": "url_citation", "url_citation": {}}] * 3)),
    "indexed details": completion(
        message(content="so", reasoning_details=[{"type": "text", "text": text, "index": 0} for text in "ab"])
    ),
    "details without a number": completion(message(content="so", reasoning_details=[{"text": "a", "index": None}])),
    "choices of one index": choices(0, 0, 0),
    "choices without index": choices(..., ...),
    "choices in another order": choices(1, 0),
    "choice of a high index": choices(3),
    "index as a float": choices(0.0, 1.0),
    "null index of choices": choices(None, None),
    "log probabilities": with_logprobs(3),
    "long log probabilities": with_logprobs(600),
    "lone surrogate": completion(message(content="a\ud83d b\ude00")),
    "usage is null": {**completion(message(content="a")), "usage": None},
    "unknown fields": completion(message(content="a", mood="good", more={"deep": [1, {"a": "b"}]}), further={"x": [1]}),
}


def without_nulls(value: Any) -> Any:
    """Return a value without fields that are null, and without the `index` of what stands in a list."""
    if isinstance(value, dict):
        return {name: without_nulls(each) for name, each in value.items() if each is not None and name != "index"}
    return [without_nulls(each) for each in value] if isinstance(value, list) else value


def messages_of(told: Any) -> list[Any]:
    """Return the messages of a completion by the order of its choices, comparable."""
    return [without_nulls(choice["message"]) for choice in told["choices"]]


def in_order(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer whose choices stand in the order of their indices, where these are 0, 1, ..."""
    told = copy.deepcopy(answer)
    indices = [choice.get("index") for choice in told["choices"]]
    if set(indices) == set(range(len(indices))):
        told["choices"].sort(key=lambda choice: choice["index"])
    return told
