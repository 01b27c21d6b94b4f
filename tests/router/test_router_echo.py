"""The built-in model: what it must say, so that other tests can foretell it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from nomyo.serve.router import RouterConfig, RunningRouter
from support.router_peer import ask, chat, detail_of, reply_of, send

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
    },
}
CLOCK = {"type": "function", "function": {"name": "get_time"}}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RunningRouter(RouterConfig(key_bits=2048)) as router:
        yield router.url


def tool_calls_of(answer: dict[str, Any]) -> list[dict[str, Any]]:
    choice = answer["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    calls: list[dict[str, Any]] = choice["message"]["tool_calls"]
    return calls


def arguments_for(url: str, schema: object, prompt: str = "the weather in Paris?") -> Any:
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    return json.loads(tool_calls_of(ask(url, chat(prompt, tools=[tool])))[0]["function"]["arguments"])


def test_last_user_message_is_repeated(url: str) -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": "answer"},
        {"role": "user", "content": "second"},
    ]
    assert reply_of(ask(url, {"model": "m", "messages": messages})) == "second"


def test_parts_are_joined_by_line_ends(url: str) -> None:
    parts = [
        {"type": "text", "text": "what is"},
        {"type": "image_url", "image_url": {"url": "data:,x"}},
        {"type": "text", "text": "this"},
    ]
    assert reply_of(ask(url, chat(parts))) == "what is\nthis"


@pytest.mark.parametrize("content", [None, [], "", [{"type": "image_url"}], 7])
def test_message_without_text_is_answered_by_nothing(url: str, content: Any) -> None:
    assert reply_of(ask(url, chat(content))) == ""


def test_conversation_without_user_is_answered_by_nothing(url: str) -> None:
    assert reply_of(ask(url, {"model": "m", "messages": [{"role": "system", "content": "x"}]})) == ""


def test_usage_adds_up(url: str) -> None:
    assert ask(url, chat("x" * 9))["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}
    assert ask(url, chat("x" * 9, n=3))["usage"] == {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12}


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_answer_ends_at_max_tokens(url: str, name: str) -> None:
    cut = ask(url, chat("abcdefghij", **{name: 2}))
    assert reply_of(cut) == "abcdefgh"
    assert cut["choices"][0]["finish_reason"] == "length"
    assert cut["usage"]["completion_tokens"] == 2
    whole = ask(url, chat("abcdefghij", **{name: 3}))
    assert (reply_of(whole), whole["choices"][0]["finish_reason"]) == ("abcdefghij", "stop")


@pytest.mark.parametrize("stop", ["STOP", ["never", "STOP"], ["", "then", "STOP"]])
def test_answer_ends_before_a_stop(url: str, stop: Any) -> None:
    answer = ask(url, chat("one STOP then", stop=stop))
    assert (reply_of(answer), answer["choices"][0]["finish_reason"]) == ("one ", "stop")


def test_n_choices_are_numbered(url: str) -> None:
    choices = ask(url, chat("again", n=3))["choices"]
    assert [(choice["index"], choice["message"]["content"]) for choice in choices] == [
        (0, "again"),
        (1, "again"),
        (2, "again"),
    ]


@pytest.mark.parametrize(
    "parameters",
    [{"n": 0}, {"n": 129}, {"n": "2"}, {"n": True}, {"max_tokens": 0}, {"max_tokens": 1.5}, {"stop": 7}, {"stop": [1]}],
)
def test_parameter_that_makes_no_sense_is_named(url: str, parameters: dict[str, Any]) -> None:
    response = send(url, chat(**parameters))
    assert response.status_code == 400
    assert next(iter(parameters)) in detail_of(response)


def test_prompt_is_not_repeated_without_bound(url: str) -> None:
    answer = send(url, chat("a" * 200_000, n=128))
    assert (answer.status_code, detail_of(answer)) == (400, "n choices of this prompt are too large an answer")
    assert len(ask(url, chat("a" * 100_000, n=128))["choices"]) == 128


def test_null_parameters_count_as_absent(url: str) -> None:
    nothing = dict.fromkeys(("n", "max_tokens", "stop", "tools", "tool_choice", "reasoning_effort"))
    assert reply_of(ask(url, chat("plain", **nothing))) == "plain"


def test_first_tool_is_called_with_fitting_arguments(url: str) -> None:
    (call,) = tool_calls_of(ask(url, chat("What's the weather in Paris?", tools=[WEATHER, CLOCK])))
    assert re.fullmatch("call_[0-9a-f]{24}", call["id"])
    assert call["type"] == "function"
    assert call["function"]["name"] == "get_weather"
    assert json.loads(call["function"]["arguments"]) == {"location": "Paris"}


@pytest.mark.parametrize("choice", ["auto", "required", None, {"type": "function", "function": {"name": "get_time"}}])
def test_named_tool_is_called(url: str, choice: Any) -> None:
    (call,) = tool_calls_of(ask(url, chat(tools=[WEATHER, CLOCK], tool_choice=choice)))
    assert call["function"]["name"] == ("get_time" if isinstance(choice, dict) else "get_weather")


def test_tool_without_parameters_gets_no_arguments(url: str) -> None:
    (call,) = tool_calls_of(ask(url, chat(tools=[CLOCK])))
    assert call["function"]["arguments"] == "{}"


def test_tools_are_left_alone_where_the_choice_is_none(url: str) -> None:
    assert reply_of(ask(url, chat("just talk", tools=[WEATHER], tool_choice="none"))) == "just talk"
    assert reply_of(ask(url, chat("just talk", tools=[]))) == "just talk"


def test_tool_calls_of_several_choices_have_ids_of_their_own(url: str) -> None:
    choices = ask(url, chat(tools=[CLOCK], n=3))["choices"]
    assert len({choice["message"]["tool_calls"][0]["id"] for choice in choices}) == 3


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        ({"tools": [WEATHER], "tool_choice": {"type": "function", "function": {"name": "secret"}}}, "tool_choice"),
        ({"tools": "secret"}, "tools"),
        ({"tools": ["secret"]}, "tools"),
        ({"tools": [{"type": "function", "function": {"name": 7}}]}, "tools"),
    ],
)
def test_tools_that_make_no_sense_are_refused(url: str, parameters: dict[str, Any], word: str) -> None:
    response = send(url, chat(**parameters))
    assert response.status_code == 400
    assert word in detail_of(response)
    assert "secret" not in response.text


def test_conversation_that_ends_with_a_tool_result_is_answered_in_words(url: str) -> None:
    first = ask(url, chat("What's the weather in Paris?", tools=[WEATHER]))
    result = {"role": "tool", "tool_call_id": tool_calls_of(first)[0]["id"], "content": "18 degrees, sunny"}
    request = chat("What's the weather in Paris?", tools=[WEATHER])
    request["messages"] += [first["choices"][0]["message"], result]
    answer = ask(url, request)
    assert reply_of(answer) == "The tool answered: 18 degrees, sunny"
    assert answer["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("asked", [{"reasoning_effort": "low"}, {"model": "DeepSeek-Reasoner"}])
def test_reasoning_is_given_where_it_is_asked_for(url: str, asked: dict[str, Any]) -> None:
    message = ask(url, chat("think") | asked)["choices"][0]["message"]
    assert message["reasoning_content"]
    assert message["content"] == "think"


def test_reasoning_is_absent_otherwise(url: str) -> None:
    for parameters in ({}, {"reasoning_effort": "none"}):
        assert "reasoning_content" not in ask(url, chat("do not think", **parameters))["choices"][0]["message"]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string"}, "Paris"),
        ({"type": "string", "minLength": 10}, "the weather in Paris?"),
        ({"type": "string", "minLength": 25}, "the weather in Paris?xxxx"),
        ({"type": "string", "maxLength": 3}, "Par"),
        ({"type": "string", "enum": ["celsius", "kelvin"]}, "celsius"),
        ({"const": 7}, 7),
        ({"type": "string", "default": "given"}, "given"),
        ({"type": "string", "format": "date"}, "2025-01-31"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "integer", "exclusiveMinimum": 5}, 6),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "number"}, 0.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
        ({"type": "array"}, []),
        ({"items": {"type": "boolean"}}, [True]),
        ({"type": "object"}, {}),
        ({"properties": {"a": {"type": "integer"}, "b": {}}, "required": ["a"]}, {"a": 1}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"allOf": [{"$ref": "#/$defs/unit"}], "description": "x"}, "celsius"),
        ({"$ref": "#/$defs/unit"}, "celsius"),
        ({"$ref": "#/$defs/a~1b"}, 1),
        ({"$ref": "#/$defs/missing"}, "Paris"),
        ({"$ref": "#/$defs/loop"}, "Paris"),
        ({}, "Paris"),
        ("nonsense", None),
    ],
)
def test_arguments_follow_the_schema(url: str, schema: Any, expected: Any) -> None:
    definitions = {
        "unit": {"type": "string", "enum": ["celsius"]},
        "a/b": {"type": "integer"},
        "loop": {"$ref": "#/$defs/loop"},
    }
    whole = {"type": "object", "properties": {"value": schema}, "required": ["value"], "$defs": definitions}
    assert arguments_for(url, whole) == {"value": expected}


def test_recursive_schema_comes_to_an_end(url: str) -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "required": ["next"]}
    arguments = arguments_for(url, {"$ref": "#/$defs/node", "$defs": {"node": node}})
    depth = 0
    while arguments is not None:
        arguments = arguments["next"]
        depth += 1
    assert 10 < depth < 100


def arrays(levels: int) -> dict[str, Any]:
    """Return the schema of an array of arrays, of a hundred entries each."""
    return {"type": "array", "items": arrays(levels - 1), "minItems": 100} if levels else {"type": "string"}


SELF = {"$ref": "#"}
LARGE: dict[str, Any] = {
    "a schema that refers to itself, more than once": {
        "type": "object",
        "properties": dict.fromkeys("abcdef", SELF),
        "required": list("abcdef"),
    },
    "arrays within arrays": {"type": "object", "properties": {"a": arrays(6)}, "required": ["a"]},
    "one long value in many places": {
        "type": "object",
        "$defs": {"a": {"default": "x" * 10_000}},
        "properties": {str(number): {"$ref": "#/$defs/a"} for number in range(1000)},
        "required": [str(number) for number in range(1000)],
    },
    "a number that cannot be written": {
        "type": "object",
        "properties": {"a": {"type": "integer", "exclusiveMinimum": int("9" * 4300)}},
        "required": ["a"],
    },
}


@pytest.mark.parametrize("what", LARGE)
def test_arguments_of_any_size_are_not_made(url: str, what: str) -> None:
    """Arguments are as large as a product of what a schema names: 200 bytes would stop the router for hours."""
    tool = {"type": "function", "function": {"name": "f", "parameters": LARGE[what]}}
    answer = send(url, chat("hello", tools=[tool]))
    assert (answer.status_code, detail_of(answer)) == (400, "tools ask for arguments that are too large")
    assert arguments_for(url, {"type": "object"}) == {}  # and it goes on


@pytest.mark.parametrize("form", [[], {}, 5, None, True], ids=str)
def test_format_may_be_anything(url: str, form: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "format": form}}, "required": ["a"]}
    assert arguments_for(url, schema, "the weather in Paris?") == {"a": "Paris"}


@pytest.mark.parametrize("schema", [None, "nonsense", [], {"type": "string"}, {"type": "object", "required": "x"}])
def test_schema_that_is_no_object_gives_no_arguments(url: str, schema: Any) -> None:
    assert arguments_for(url, schema) == {}


def test_required_property_that_is_not_described_is_a_string(url: str) -> None:
    assert arguments_for(url, {"type": "object", "properties": {}, "required": ["city"]}) == {"city": "Paris"}
