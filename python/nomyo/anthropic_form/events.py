"""Makes the event sequence of a stream from a whole message: `message_start` ... `message_stop`.

The stream is well formed but not incremental, as with chat completions. Lines stay below 64 KiB: text, thinking and
the input of tools are cut into pieces, which clients join. What clients do not join is in one line, however long: the
name and the ID of a call, and the `_metadata`.

Source: https://docs.claude.com/en/api/messages-streaming
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from .._finite_json import utf8_json

Event = dict[str, Any]

# A character takes at most 6 bytes in JSON (an escaped control character), so a piece has at most 24 KiB.
PIECE_CHARACTERS: Final = 4096


def events_of(message: Mapping[str, Any]) -> Iterator[Event]:
    """Yield the events of a message.

    Args:
        message: A whole message; it is not changed.

    Raises:
        ValueError: As from `utf8_json`.
    """
    at_start: Event = {"content": [], "stop_reason": None, "stop_sequence": None}
    usage = {**message["usage"], "output_tokens": 0}
    usage.pop("output_tokens_details", None)
    yield {"type": "message_start", "message": {**message, **at_start, "usage": usage}}
    for index, block in enumerate(message["content"]):
        begun, deltas = _begun(block)
        yield {"type": "content_block_start", "index": index, "content_block": begun}
        yield from ({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas)
        yield {"type": "content_block_stop", "index": index}
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": message["stop_sequence"]}
    yield {"type": "message_delta", "delta": stop, "usage": message["usage"]}
    yield {"type": "message_stop"}


def as_sse(events: Iterable[Event]) -> Iterator[bytes]:
    """Yield events as server-sent events, each under its own name."""
    for event in events:
        yield b"event: " + event["type"].encode() + b"\ndata: " + utf8_json(event) + b"\n\n"


def _begun(block: Mapping[str, Any]) -> tuple[Mapping[str, Any], Iterator[Event]]:
    """Return a block as it begins, and the deltas that complete it."""
    match block["type"]:
        case "text":
            return {**block, "text": ""}, _deltas("text_delta", "text", block["text"])
        case "thinking":
            return {**block, "thinking": ""}, _deltas("thinking_delta", "thinking", block["thinking"])
        case _:
            text = utf8_json(block["input"]).decode() if block["input"] else ""
            return {**block, "input": {}}, _deltas("input_json_delta", "partial_json", text)


def _deltas(kind: str, name: str, text: str) -> Iterator[Event]:
    for start in range(0, len(text), PIECE_CHARACTERS):
        yield {"type": kind, name: text[start : start + PIECE_CHARACTERS]}
