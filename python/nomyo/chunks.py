"""A whole chat completion as the stream that a client of `"stream": true` reads: well formed, and not incremental.

The answer is complete when its first chunk is made: it is opened only after its tag has been checked. What is kept to
is what clients put together again, the OpenAI SDK's `accumulate_delta` above all:

- Every field of a message is in deltas of its own, and in one delta alone where it is not text or a call's arguments:
  clients join strings, and know no order of lists without `index`.
- Reasoning comes before content, and the reason to finish last, alone with an empty delta.
- Long text comes in pieces: readers of lines refuse long ones (aiohttp's from 128 KiB on).
- Choices follow each other by index.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

Fields = dict[str, Any]

# A character takes 12 bytes at most in JSON (a surrogate pair, escaped): a piece stays below 64 KiB.
PIECE_CHARACTERS: Final = 4096
_IN_EVERY_CHUNK: Final = ("id", "created", "model", "service_tier", "system_fingerprint")
_NOT_IN_CHUNKS: Final = ("choices", "object", "usage")
# Clients join these; of any other text the SDK for Node keeps the last delta alone.
_IN_PIECES: Final = ("content", "refusal")


def chunks_of(response: Mapping[str, Any], include_usage: bool) -> Iterator[Fields]:
    """Yield the chunks of a chat completion.

    Args:
        response: A whole chat completion; it is not changed. What else it holds (`_metadata`) is in the first chunk.
        include_usage: As `stream_options` has it: whether a last chunk without choices tells the usage.
    """
    head: Fields = {name: response[name] for name in _IN_EVERY_CHUNK if name in response}
    head["object"] = "chat.completion.chunk"
    unused = {"usage": None} if include_usage else {}
    further = {name: value for name, value in response.items() if name not in (*_IN_EVERY_CHUNK, *_NOT_IN_CHUNKS)}
    for choice in _choices(response):
        for part in _parts(choice):
            yield head | further | {"choices": [part]} | unused
            further = {}
    if include_usage:
        yield head | further | {"choices": [], "usage": response.get("usage")}
    elif not _choices(response):
        yield head | further | {"choices": []}


def as_sse(chunks: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield chunks as server-sent events, and the mark that ends a stream.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html; `[DONE]` is OpenAI's.
    """
    for chunk in chunks:
        yield b"data: " + json.dumps(chunk, separators=(",", ":")).encode("ascii") + b"\n\n"
    yield b"data: [DONE]\n\n"


def _choices(response: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    choices = response.get("choices")
    found = [choice for choice in choices if isinstance(choice, Mapping)] if isinstance(choices, list) else []
    return sorted(found, key=lambda choice: choice["index"] if isinstance(choice.get("index"), int) else 0)


def _parts(choice: Mapping[str, Any]) -> Iterator[Fields]:
    """Yield one choice in parts: its deltas, then how it ended."""
    index = choice.get("index", 0)
    message = choice.get("message")
    logprobs = {"logprobs": choice["logprobs"]} if "logprobs" in choice else {}
    for delta in _deltas(message if isinstance(message, Mapping) else {}):
        begins_content = bool(delta.get("content"))
        yield {"index": index, "delta": delta, "finish_reason": None} | (logprobs if begins_content else {})
        if begins_content:
            logprobs = {}
    rest = {name: value for name, value in choice.items() if name not in ("index", "message", "logprobs")}
    yield {"index": index, "delta": {}, "finish_reason": None} | rest | logprobs


def _deltas(message: Mapping[str, Any]) -> Iterator[Fields]:
    content = message.get("content")
    yield {"role": message.get("role", "assistant"), "content": "" if isinstance(content, str) else None}
    for name in sorted(message, key=lambda name: not name.startswith("reasoning")):
        value = message[name]
        if name == "role" or value is None:
            continue
        if name == "tool_calls" and isinstance(value, list):
            yield from _tool_call_deltas(value)
        elif name in _IN_PIECES and isinstance(value, str):
            yield from ({name: piece} for piece in _pieces(value))
        else:
            yield {name: value}


def _tool_call_deltas(calls: list[Any]) -> Iterator[Fields]:
    for place, call in enumerate(calls):
        if not isinstance(call, Mapping):
            continue
        index = call.get("index", place)
        function = call.get("function")
        if not isinstance(function, Mapping) or not isinstance(function.get("arguments"), str):
            yield {"tool_calls": [{**call, "index": index}]}
            continue
        first, *others = _pieces(function["arguments"])
        yield {"tool_calls": [{**call, "index": index, "function": {**function, "arguments": first}}]}
        for piece in others:
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _pieces(text: str) -> list[str]:
    """Cut a text into pieces; one at least."""
    return [text[start : start + PIECE_CHARACTERS] for start in range(0, len(text), PIECE_CHARACTERS)] or [""]
