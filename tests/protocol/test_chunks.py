"""A whole answer as a stream: what a client puts together from it is the answer again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from nomyo.openai_form.chunks import PIECE_CHARACTERS, chunks_of
from nomyo.openai_form.event_stream import as_sse
from support.joined_chunks import joined, parts_of

HEAD = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "m", "system_fingerprint": "fp"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def answer(*messages: Mapping[str, Any], **further: Any) -> dict[str, Any]:
    choices = [{"index": i, "message": message, "finish_reason": "stop"} for i, message in enumerate(messages)]
    return {**HEAD, "object": "chat.completion", "choices": choices, "usage": USAGE, **further}


TOOL_CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": "' + "x" * 10_000 + '"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": ""}},
    {"id": "call_3", "type": "custom", "custom": {"name": "h", "input": "as it is"}},
    {
        "id": "call_4",
        "type": "custom",
        "function": None,
        "custom": {"name": "h", "input": "of a server that names all"},
    },
]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "Hello \u00e9 \U0001f600 \ud800"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": "y" * (3 * PIECE_CHARACTERS) + "end"},
        {"role": "assistant", "content": None, "refusal": "No."},
        {"role": "assistant", "content": "so", "reasoning_content": "since", "annotations": [{"type": "url_citation"}]},
        {"role": "assistant", "content": None, "tool_calls": TOOL_CALLS},
        {"role": "assistant", "content": "both", "tool_calls": TOOL_CALLS[:1], "audio": {"id": "a", "data": "x"}},
    ],
)
def test_joined_deltas_are_the_message(message: dict[str, Any]) -> None:
    parts = parts_of(chunks_of(answer(message), include_usage=False))
    rebuilt = joined(part["delta"] for part in parts)
    for call in rebuilt.get("tool_calls", ()):
        del call["index"]
    assert rebuilt == message
    assert [part["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["stop"]
    assert parts[0]["delta"]["role"] == "assistant"
    assert parts[-1]["delta"] == {}


def test_reasoning_comes_before_content_and_nothing_not_at_all() -> None:
    message = {"role": "assistant", "content": "so", "reasoning_content": "since", "refusal": None}
    names = [name for part in parts_of(chunks_of(answer(message), False)) for name in part["delta"]]
    assert names == ["role", "content", "reasoning_content", "content"]


def test_every_chunk_tells_which_answer_it_belongs_to_and_the_first_all_else() -> None:
    metadata = {"is_encrypted": True}
    first, *others = chunks_of(answer({"role": "assistant", "content": "a"}, _metadata=metadata), include_usage=True)
    for chunk in (first, *others):
        assert {name: chunk[name] for name in HEAD} == HEAD
        assert chunk["object"] == "chat.completion.chunk"
    assert first["_metadata"] == metadata
    assert not any("_metadata" in chunk for chunk in others)


def test_usage_is_told_once_at_the_end_where_it_is_asked_for() -> None:
    response = answer({"role": "assistant", "content": "a"})
    *others, last = chunks_of(response, include_usage=True)
    assert (last["choices"], last["usage"]) == ([], USAGE)
    assert all(chunk["usage"] is None for chunk in others)
    assert not any("usage" in chunk for chunk in chunks_of(response, include_usage=False))


def test_choices_follow_each_other_and_keep_what_they_hold() -> None:
    response = answer({"role": "assistant", "content": "a"}, {"role": "assistant", "content": "b"})
    response["choices"].reverse()
    response["choices"][0] |= {"logprobs": {"content": [{"token": "b"}]}, "stop_reason": 7}
    chunks = list(chunks_of(response, include_usage=False))
    assert [choice["index"] for chunk in chunks for choice in chunk["choices"]] == [0, 0, 0, 1, 1, 1]
    parts = parts_of(chunks, 1)
    assert [part.get("logprobs") for part in parts] == [None, {"content": [{"token": "b"}]}, None]
    assert parts[-1]["stop_reason"] == 7


@pytest.mark.parametrize("choices", [None, [], "none", [None]])
def test_answer_without_choices_is_one_chunk_without(choices: object) -> None:
    (chunk,) = chunks_of({**HEAD, "choices": choices}, include_usage=False)
    assert chunk == {**HEAD, "object": "chat.completion.chunk", "choices": []}


def test_events_are_one_line_each_that_readers_of_lines_accept() -> None:
    message = {"role": "assistant", "content": "line\r\n\u2028\U0001f600" * 20_000}
    events = list(as_sse(chunks_of(answer(message), include_usage=False)))
    assert events.pop() == b"data: [DONE]\n\n"
    for event in events:
        assert event.startswith(b"data: ")
        assert event.endswith(b"\n\n")
        assert len(event.splitlines()) == 2
        assert len(event) < 64 * 1024
    parts = parts_of(json.loads(event[6:]) for event in events)
    assert joined(part["delta"] for part in parts) == message


LONG = "\x01\U0001f600\u2028é\ud800" * 60_000
LONG_ANSWERS: dict[str, dict[str, Any]] = {
    "content": {"content": LONG},
    "reasoning": {"content": "a", "reasoning": LONG, "reasoning_content": LONG},
    "refusal": {"content": None, "refusal": LONG},
    "arguments": {"content": None, "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": LONG}}] * 2},
    "function call": {"content": None, "function_call": {"name": "f", "arguments": LONG}},
    "input of a custom tool": {"content": None, "tool_calls": [{"id": "a", "custom": {"name": "f", "input": LONG}}]},
    "audio": {"content": None, "audio": {"id": "a", "data": "QUJD" * 100_000, "transcript": LONG, "expires_at": 1}},
    "parts": {"content": [{"type": "text", "text": LONG}] * 2},
    "unknown text": {"content": "a", "mood": LONG},
}


@pytest.mark.parametrize("what", LONG_ANSWERS)
def test_lines_stay_below_64_kib_whatever_is_long(what: str) -> None:
    response = answer({"role": "assistant", **LONG_ANSWERS[what]})
    response["choices"][0]["logprobs"] = {
        "content": [{"token": "é", "logprob": -1.0, "top_logprobs": [{"token": "a" * 50, "logprob": -2.0}] * 20}] * 90,
        "refusal": [{"token": "漢" * 99, "logprob": -1.0}] * 999,
        "more": 1,
    }
    events = list(as_sse(chunks_of(response, include_usage=True)))
    assert max(map(len, events)) < 64 * 1024
    assert {len(event.decode().splitlines()) for event in events} == {2}
    chunks = [json.loads(event[6:]) for event in events[:-1]]
    logprobs = [part["logprobs"] for part in parts_of(chunks) if "logprobs" in part]
    assert {name for part in logprobs for name in part} == {"content", "refusal", "more"}
    for name in ("content", "refusal"):
        joined_list = [entry for part in logprobs for entry in part.get(name, [])]
        assert joined_list == response["choices"][0]["logprobs"][name]


def test_text_is_utf_8_and_not_escapes() -> None:
    events = b"".join(as_sse(chunks_of(answer({"role": "assistant", "content": "漢字\ud800"}), False)))
    assert "漢字".encode() + b"\\ud800" in events


def test_parts_that_are_no_text_stay_as_they_are() -> None:
    content = [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}]
    parts = parts_of(chunks_of(answer({"role": "assistant", "content": content}), False))
    assert [part["delta"].get("content") for part in parts] == [None, content, None]
