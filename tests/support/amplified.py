"""Answers of which a stream could be made that is larger by orders of magnitude, and what a stream may measure.

`python tests/support/amplified.py` streams answers of a million tool calls. It exits with 1 if a stream is too large.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from nomyo.openai_form.chunks import HEAD_FIELD_BYTES
from nomyo.openai_form.event_stream import streamed
from support.odd_answers import HEAD, completion

LONG = "x" * 40_000
SHORT_NAMES = {f"a{number}": 1 for number in range(6_000)}
TINY_CALLS: list[dict[str, Any]] = [{}] * 20_000
VERY_LONG = "n" * 300_000


def message(**fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, **fields}


def with_head(head: dict[str, Any], *messages: Any) -> dict[str, Any]:
    return {**completion(*(messages or (message(tool_calls=TINY_CALLS),))), **head}


def choices_of(*choices: Any) -> dict[str, Any]:
    return {**HEAD, "choices": list(choices), "usage": None}


def nested(depth: int, text: Any) -> Any:
    return text if depth == 0 else {"name" * 250: nested(depth - 1, text)}


# Each of 40 KB to 1.3 MB: two things that whoever writes an answer chooses, and that a stream would multiply.
ANSWERS: dict[str, Any] = {
    "a long id and many tool calls": with_head({"id": LONG}),
    "a long model and many tool calls": with_head({"model": LONG}),
    "a long fingerprint and a long text": with_head({"system_fingerprint": LONG}, message(content=LONG * 10)),
    "an object as id and many fields": with_head({"id": SHORT_NAMES}, message(**SHORT_NAMES)),
    "a long number as created": with_head({"created": 10**4_000}),
    "a list as service tier": with_head({"service_tier": [[]] * 10_000}),
    "each field of the head as long as a chunk may have it": with_head(
        dict.fromkeys(("id", "created", "model", "service_tier", "system_fingerprint"), "h" * 510)
    ),
    "tool calls": completion(message(tool_calls=TINY_CALLS)),
    "tool calls with a function": completion(message(tool_calls=[{"function": {}}] * 6_000)),
    "unknown fields": completion(message(**SHORT_NAMES)),
    "fields of many choices": choices_of(*[{"message": {f"a{i}": 1 for i in range(10)}}] * 1_000),
    "tool calls of many choices": choices_of(*[{"message": {"tool_calls": [{}] * 20}}] * 1_000),
    "short texts of many choices": choices_of(*[{"message": {"content": "a", "refusal": "b"}}] * 1_000),
    "choices with next to nothing": choices_of(*[{"a": "b" * 40}] * 1_000),
    "a long name of a long text": completion(message(**{VERY_LONG: VERY_LONG})),
    "a long name within a call": completion(message(tool_calls=[{"function": {VERY_LONG: VERY_LONG}}])),
    "a long name of audio": completion(message(audio={VERY_LONG: {"data": VERY_LONG}})),
    "many names around a text": completion(message(audio=nested(100, VERY_LONG * 2))),
    "many names around many texts": completion(message(audio=nested(50, {f"t{i}": "x" * 4_097 for i in range(200)}))),
    "texts just longer than a piece": completion(message(**{f"t{i}": {"a": "x" * 4_097} for i in range(20)})),
    "log probabilities in many lists": choices_of({"logprobs": {f"a{i}": [1] for i in range(6_000)}}),
    "log probabilities of a long name": choices_of({"logprobs": {VERY_LONG: [1] * 500_000}}),
    "log probabilities of many choices": choices_of(*[{"logprobs": {"a": [1], "b": [1], "c": [1]}}] * 1_000),
    "a list with an index": completion(message(details=[{"index": 0}] * 8_000)),
    "a function's arguments as an object": completion(
        message(function_call={"arguments": {'"' * 20_000: "\\" * 20_000}})
    ),
    "line ends of another kind": completion(message(content="\u0085\u2028" * 10_000)),
    "floats that are short in JSON": {**completion(message(content="a")), "floats": 0},  # see `text_of`
}
CALLS = ("{}", '{"a":0}', '{"function":{}}')
"""Tool calls to which a stream adds most: each gets an index, and one with a function a type."""
MILLION = 1_000_000
MULTIPLE = 8
EXTRA_BYTES = 320 * 1024


def text_of(what: str) -> str:
    """Return an answer as its router writes it."""
    text = json.dumps(ANSWERS[what], separators=(",", ":"), ensure_ascii=False)
    return text.replace('"floats":0', '"floats":[' + ",".join(["1e15"] * 15_000) + "]")


def most_bytes(text: str) -> int:
    """Return what the stream of an answer may measure."""
    return MULTIPLE * len(text.encode()) + EXTRA_BYTES


def text_of_calls(call: str, count: int) -> str:
    """Return an answer of as many calls, whose head is as long as a stream may repeat it."""
    head = dict.fromkeys(("id", "created", "model", "service_tier", "system_fingerprint"), "h" * (HEAD_FIELD_BYTES - 2))
    return f'{json.dumps(head)[:-1]},"choices":[{{"message":{{"tool_calls":[{",".join([call] * count)}]}}}}]}}'


def stream_bytes(text: str) -> int:
    """Return what the stream of an answer measures."""
    return sum(map(len, streamed(json.loads(text), include_usage=True)))


def main() -> int:
    """Stream the answers of a million calls; return 1 if one of the streams is too large."""
    too_large = False
    for call in CALLS:
        text = text_of_calls(call, MILLION)
        measured, most = stream_bytes(text), most_bytes(text)
        print(f"a million calls {call}: {len(text)} bytes, streamed in {measured} (at most {most})", flush=True)
        too_large |= measured > most
    return int(too_large)


if __name__ == "__main__":
    sys.exit(main())
