"""What the OpenAI SDK puts together from a stream is the whole answer, whatever a router writes into it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.faults import FaultyRouter
from support.odd_answers import answer_with, completion
from support.odd_streams import ANSWERS, LONG, call, in_order, message, messages_of
from support.sdk import Sdk

REQUEST: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
USAGE = {"stream_options": {"include_usage": True}}


def told(sdk: Sdk, router: FaultyRouter, keys: Path, answer: Any) -> Any:
    """Return what the SDK puts together from a stream of an answer."""
    answer_with(router, answer)
    client = sdk.client(router.url, key_dir=keys)
    return sdk.put_together(client, **REQUEST, **USAGE).to_dict()


@pytest.mark.parametrize("what", ANSWERS)
def test_stream_is_the_answer(sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, what: str) -> None:
    answer = ANSWERS[what]
    put_together = told(sdk, faulty_router, key_directory, answer)

    assert messages_of(put_together) == messages_of(in_order(answer))
    for choice, given in zip(put_together["choices"], in_order(answer)["choices"], strict=True):
        assert choice["finish_reason"] == given["finish_reason"]
        assert choice.get("logprobs") == given.get("logprobs")
    assert put_together["usage"] == answer["usage"]


@pytest.mark.parametrize(
    ("odd", "as_told"),
    [
        (message(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), {"content": "ab"}),
        ({"content": "no role"}, {"content": "no role"}),
        ({"role": None, "content": "no role"}, {"content": "no role"}),
        (None, {}),
    ],
    ids=["parts", "no role", "null role", "no message"],
)
def test_odd_message_is_told_in_the_form_of_deltas(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, odd: Any, as_told: Any
) -> None:
    put_together = told(sdk, faulty_router, key_directory, completion(odd))
    assert messages_of(put_together) == [{"role": "assistant", **as_told}]


def test_arguments_that_are_an_object_are_told_as_its_json(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    odd = completion(message(tool_calls=[call("f", {"a": LONG}, type=None)]))
    (found,) = messages_of(told(sdk, faulty_router, key_directory, odd))
    assert found["tool_calls"][0]["type"] == "function"
    assert json.loads(found["tool_calls"][0]["function"]["arguments"]) == {"a": LONG}


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (message(content="a"), "stop"),
        (message(tool_calls=[call("f")]), "tool_calls"),
        (message(function_call={"name": "f", "arguments": "{}"}), "function_call"),
    ],
)
def test_answer_without_a_reason_to_finish_ends_all_the_same(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, odd: Any, reason: str
) -> None:
    answer = completion(odd)
    answer["choices"][0]["finish_reason"] = None
    assert told(sdk, faulty_router, key_directory, answer)["choices"][0]["finish_reason"] == reason
