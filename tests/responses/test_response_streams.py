"""What a stream of events costs, and how it ends if it cannot go on."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nomyo._api_form import UnfitAnswerError
from nomyo.openai_form.responses.form import ResponsesForm

FORM = ResponsesForm()
HEAD = {"id": "c", "created": 1_700_000_000, "model": "m"}
TIMES = 10
FRAMES_BYTES = 1536 * 1024
REPEATED = 3
"""How often a stream has the fields of its request: in its first two events and in its last one."""

CITATION = {"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 0, "url": "", "title": ""}}
SHAPES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "text": {"message": {"content": "a" * 1_000_000}},
    "control characters": {"message": {"content": "\0" * 200_000}},
    "text beyond ASCII": {"message": {"content": "\u6f22\U0001f600\u2028" * 100_000}},
    "reasoning and refusal": {"message": {"reasoning_content": "a" * 500_000, "refusal": "b" * 500_000}},
    "citations": {"message": {"content": "a", "annotations": [CITATION] * 10_000}},
    "tokens": {"message": {"content": "a"}, "logprobs": {"content": [{"token": "", "logprob": 0}] * 20_000}},
    "tokens of no kind": {"message": {"content": "a"}, "logprobs": {"content": [{}] * 100_000}},
    "small calls": {"message": {"tool_calls": [{"function": {"name": "f"}}] * 1024}},
    "one long call": {"message": {"tool_calls": [{"function": {"name": "f", "arguments": "a" * 1_000_000}}]}},
}


def answered(completion: dict[str, Any], **asked: Any) -> bytes:
    request = FORM.read(json.dumps({"model": "m", "input": "Hi", "stream": True, **asked}).encode(), [])
    return b"".join(FORM.answer({**HEAD, **completion}, request).body)  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", SHAPES)
def test_stream_is_a_small_multiple_of_its_answer(shape: str) -> None:
    completion = {"choices": [{"message": {}, **SHAPES[shape]}]}

    streamed = answered(completion)

    assert len(streamed) <= TIMES * len(json.dumps(completion, ensure_ascii=False).encode()) + FRAMES_BYTES


def test_fields_of_the_request_are_repeated_three_times() -> None:
    instructions = "a" * 1_000_000

    streamed = answered({"choices": [{"message": {"content": "Hi"}}]}, instructions=instructions)

    assert streamed.count(instructions.encode()) == REPEATED


def test_more_calls_than_a_response_has_are_refused() -> None:
    calls = [{"function": {"name": "f"}}] * 1025

    with pytest.raises(UnfitAnswerError, match="has 1025 tool calls"):
        answered({"choices": [{"message": {"tool_calls": calls}}]})


@pytest.mark.parametrize("characters", [10, 200_000])
def test_answer_that_cannot_be_written_is_refused_or_ends_the_stream(characters: int) -> None:
    """An integer of more digits than Python writes is found at once, or behind the first pieces of the stream."""
    logprobs = {"content": [{"token": "a", "logprob": 10**5000}]}
    completion = {"choices": [{"message": {"content": "a" * characters}, "logprobs": logprobs}]}
    if characters == 10:
        with pytest.raises(UnfitAnswerError):
            answered(completion)
        return

    *events, last, _ = answered(completion).split(b"\n\n")

    name, _, data = last.partition(b"\ndata: ")
    assert name == b"event: error"
    assert json.loads(data)["code"] == "unwritable_answer"
    assert json.loads(data)["sequence_number"] > len(events) - 1
