"""The table of translations between Messages and chat completions, each way, and what is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.lib.streaming._messages import accumulate_event

from nomyo._api_form import MalformedRequestError, UnfitAnswerError
from nomyo.anthropic_form.body import MessagesRequest
from nomyo.anthropic_form.message import MAX_CALLS
from nomyo.anthropic_form.messages_form import MessagesForm
from support.server_events import events_in

TABLE: dict[str, Any] = json.loads((Path(__file__).parent / "translations.json").read_text())
UNLESS_SAID: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello"}]}
FORM = MessagesForm()


def _read(fields: dict[str, Any]) -> MessagesRequest:
    return FORM.read(json.dumps(UNLESS_SAID | fields).encode(), [])


def _body(completion: Any, request: MessagesRequest) -> bytes:
    body = FORM.answer(completion, request).body
    return body if isinstance(body, bytes) else b"".join(body)


def test_table_is_as_long_as_promised() -> None:
    assert min(len(TABLE["requests"]), len(TABLE["answers"])) >= 60
    for name in ("requests", "refused_requests", "answers", "unfit_answers"):
        names = [case["name"] for case in TABLE[name]]
        assert len(set(names)) == len(names)


def test_request_becomes_a_chat_completion(subtests: pytest.Subtests) -> None:
    for case in TABLE["requests"]:
        with subtests.test(case["name"]):
            read = _read(case["messages_request"])
            assert read.payload == UNLESS_SAID | case["chat_request"]
            assert list(read.left_out) == case.get("left_out", [])
            assert read.stream is bool(case["messages_request"].get("stream"))


def test_request_that_cannot_be_translated_is_refused_with_the_path(subtests: pytest.Subtests) -> None:
    for case in TABLE["refused_requests"]:
        with subtests.test(case["name"]):
            with pytest.raises(MalformedRequestError) as refused:
                _read(case["messages_request"])
            assert (refused.value.param, str(refused.value)) == (case["param"], case["error"])
            body = FORM.refusal(400, str(refused.value), {}, param=refused.value.param).body
            assert isinstance(body, bytes)
            assert json.loads(body) == {
                "type": "error",
                "error": {"type": "invalid_request_error", "message": f"{case['param']}: {case['error']}"},
            }


def test_completion_becomes_a_message(subtests: pytest.Subtests) -> None:
    for case in TABLE["answers"]:
        with subtests.test(case["name"]):
            request = _read(case.get("messages_request", {}))
            message = json.loads(_body(case["chat_completion"], request))
            assert message == case["message"]
            anthropic.types.Message.model_validate(message)


def test_stream_is_put_together_to_the_same_message_by_the_sdk(subtests: pytest.Subtests) -> None:
    for case in TABLE["answers"]:
        with subtests.test(case["name"]):
            request = _read({**case.get("messages_request", {}), "stream": True})
            events = events_in(_body(case["chat_completion"], request))
            assert all(name == event["type"] for name, event in events)
            message: Any = None
            buffers: dict[int, bytes] = {}
            for _, event in events:
                message = accumulate_event(event=event, current_snapshot=message, json_bufs=buffers)
            put_together = message.model_dump(mode="json", exclude_none=True, warnings=False)
            expected = anthropic.types.Message.model_validate(case["message"]).model_dump(
                mode="json", exclude_none=True
            )
            assert put_together == expected


@pytest.mark.parametrize("stream", [False, True])
def test_completion_without_a_clear_meaning_is_refused(subtests: pytest.Subtests, stream: bool) -> None:
    for case in TABLE["unfit_answers"]:
        with subtests.test(case["name"]):
            with pytest.raises(UnfitAnswerError) as unfit:
                FORM.answer(case["chat_completion"], _read({"stream": stream}))
            assert str(unfit.value) == case["error"]


def test_body_that_is_no_json_object_is_refused() -> None:
    for body in (b"", b"[]", b"\xff", b'{"model": "m", "model": "n"}', b"[" * 100_000):
        with pytest.raises(MalformedRequestError):
            FORM.read(body, [])


@pytest.mark.parametrize("tiers", [["low"], ["high", "standard"]])
def test_tier_that_is_none_is_refused(tiers: list[str]) -> None:
    with pytest.raises(MalformedRequestError, match="tier"):
        FORM.read(json.dumps(UNLESS_SAID).encode(), tiers)


def test_tier_is_read_from_header_or_body() -> None:
    assert FORM.read(json.dumps(UNLESS_SAID).encode(), ["high"]).security_tier == "high"
    assert _read({"security_tier": "maximum"}).security_tier == "maximum"


def test_numbers_that_json_does_not_know_become_null() -> None:
    function = {"name": "f", "arguments": '{"a": NaN, "b": [-Infinity, 1e999]}'}
    completion = {"choices": [{"message": {"tool_calls": [{"id": "call_1", "function": function}]}}]}

    message = json.loads(_body(completion, _read({})), parse_constant=lambda name: pytest.fail(name))
    stream = events_in(_body(completion, _read({"stream": True})))

    assert message["content"][0]["input"] == {"a": None, "b": [None, None]}
    assert '{"a":null,"b":[null,null]}' in [event.get("delta", {}).get("partial_json") for _, event in stream]


@pytest.mark.parametrize("calls", [1, MAX_CALLS])
def test_stream_is_bounded_by_its_answer(calls: int) -> None:
    completion: Any = {"choices": [{"message": {"tool_calls": [{"function": {"name": "a"}}] * calls}}]}

    stream = _body(completion, _read({"stream": True}))

    assert len(stream) <= 8 * len(json.dumps(completion)) + 320 * 1024


def test_more_calls_than_a_message_may_have_are_refused() -> None:
    completion: Any = {"choices": [{"message": {"tool_calls": [{"function": {"name": "a"}}] * (MAX_CALLS + 1)}}]}

    with pytest.raises(UnfitAnswerError, match="1025 tool calls"):
        FORM.answer(completion, _read({}))


def test_time_to_check_base64_grows_with_its_length_alone() -> None:
    """A pattern that tries each way to divide these spaces would take hours."""
    source = {"type": "base64", "media_type": "image/png", "data": "a" + " " * 1_000_000 + "!"}

    with pytest.raises(MalformedRequestError, match="base64"):
        _read({"messages": [{"role": "user", "content": [{"type": "image", "source": source}]}]})


def test_many_calls_of_one_message_are_read_at_once() -> None:
    """To compare each ID with all before it would take an hour."""
    calls = [{"type": "tool_use", "id": str(number), "name": "f", "input": {}} for number in range(100_000)]
    turns = [{"role": "assistant", "content": calls}, {"role": "user", "content": "Hello"}]

    assert len(_read({"messages": turns}).payload["messages"][0]["tool_calls"]) == len(calls)


# Each Python reads and writes JSON to another depth, and nulls are written to another depth than numbers.
DEPTHS = (600, 900, 5_000)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("depth", DEPTHS)
def test_deep_arguments_are_an_input_or_an_unfit_answer(depth: int, stream: bool) -> None:
    function = {"name": "f", "arguments": '{"a":' + "[" * depth + "NaN" + "]" * depth + "}"}
    completion = {"choices": [{"message": {"tool_calls": [{"id": "1", "function": function}]}}]}

    with suppress(UnfitAnswerError):
        _body(completion, _read({"stream": stream}))


@pytest.mark.parametrize("depth", DEPTHS)
def test_deep_input_is_read_or_refused(depth: int) -> None:
    call = '{"type": "tool_use", "id": "1", "name": "f", "input": {"a": ' + "[" * depth + "NaN" + "]" * depth + "}}"
    turns = '[{"role": "assistant", "content": [' + call + ']}, {"role": "user", "content": "Hello"}]'

    with suppress(MalformedRequestError):
        FORM.read(f'{{"model": "m", "max_tokens": 9, "messages": {turns}}}'.encode(), [])


def test_lines_of_a_stream_stay_short_whatever_names_the_answer() -> None:
    completion = {"id": "i" * 100_000, "model": "n" * 100_000, "choices": [{"message": {"content": "Hello"}}]}

    assert max(map(len, _body(completion, _read({"stream": True})).split(b"\n"))) < 64 * 1024
