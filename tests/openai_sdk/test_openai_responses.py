"""`client.responses` of the OpenAI SDK, over a transport of ours and over the proxy, in whichever major is there.

The SDK's own types and accumulators judge what comes back.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import openai
import openai.types.responses.tool_param
import pydantic
import pytest

from nomyo import SecureCompletionClient
from nomyo.openai_form.responses.form import ResponsesForm
from nomyo.serve.listener import Listener
from nomyo.serve.proxy import ProxyConfig, create_app
from nomyo.serve.router.running import RunningRouter
from nomyo.serve.server import BackgroundServer
from support.faults import FaultyRouter
from support.odd_answers import HEAD, USAGE, answer_with
from support.sdk import Sdk

TEXT = "Hello, Zo\u00eb \U0001f600"
TOKEN = "a-token-of-this-machine"
IMAGE = "data:image/png;base64,iVBORw0KGgo="
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
PATCH: dict[str, Any] = {"type": "custom", "name": "patch", "description": "Patches a file."}
MESSAGE: dict[str, Any] = {
    "role": "assistant",
    "content": TEXT * 2000,
    "reasoning_content": "Hm " * 3000,
    "annotations": [
        {
            "type": "url_citation",
            "url_citation": {"start_index": 0, "end_index": 5, "url": "https://a.example", "title": "A"},
        }
    ],
    "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Bonn"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "patch", "arguments": '{"input":"*** Begin"}'}},
    ],
}
ANSWER = {**HEAD, "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "tool_calls"}], "usage": USAGE}


class Person(pydantic.BaseModel):
    name: str
    age: int


Way = Callable[[str], Any]


@pytest.fixture(params=["transport", "proxy"])
def client_for(request: pytest.FixtureRequest, sdk: Sdk, key_directory: Path) -> Iterator[Way]:
    """Return a function that makes a client of the SDK for a router: ours, or the SDK's own in front of the proxy."""
    if request.param == "transport":
        yield lambda url: sdk.client(url, key_dir=key_directory)
        return
    made: list[Any] = []

    def through_proxy(router_url: str) -> Any:
        secure = SecureCompletionClient(router_url, allow_http=True, key_dir=key_directory, max_retries=0)
        listener = Listener(port=0)
        server = BackgroundServer(create_app(ProxyConfig(listener=listener, token=TOKEN), secure), listener)
        server.start()
        client = sdk.plain_client_class(base_url=f"{server.url}/v1", api_key=TOKEN, max_retries=0)
        made.append((client, server))
        return client

    yield through_proxy
    for client, server in made:
        sdk.call(client.close)
        server.stop()


def test_response_is_what_the_router_answered(sdk: Sdk, client_for: Way, router: RunningRouter) -> None:
    response = sdk.call(client_for(router.url).responses.create, model="m", input=TEXT)

    assert type(response).__name__ == "Response"
    assert (response.output_text, response.status, response.store) == (TEXT, "completed", False)
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens > 0
    assert response.model_extra["_metadata"]["is_encrypted"] is True


def test_stream_is_put_together_to_the_whole_response(sdk: Sdk, client_for: Way, faulty_router: FaultyRouter) -> None:
    answer_with(faulty_router, ANSWER)
    client = client_for(faulty_router.url)
    request: dict[str, Any] = {"model": "m", "input": "Hi", "tools": [WEATHER, PATCH]}

    whole = sdk.call(client.responses.create, **request)
    events = sdk.events(client, **request)
    streamed = sdk.response_put_together(client, **request)

    assert [item.type for item in whole.output] == ["reasoning", "message", "function_call", "custom_tool_call"]
    assert whole.output[0].content[0].text == MESSAGE["reasoning_content"]
    assert whole.output_text == MESSAGE["content"]
    assert whole.output[1].content[0].annotations[0].url == "https://a.example"
    assert (whole.output[2].call_id, whole.output[2].arguments) == ("call_1", '{"city":"Bonn"}')
    assert (whole.output[3].call_id, whole.output[3].input) == ("call_2", "*** Begin")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.to_dict()["output"] == whole.to_dict()["output"]
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert streamed.output_text == whole.output_text
    assert streamed.output[2].parsed_arguments == {"city": "Bonn"}
    assert streamed.usage == whole.usage


def test_events_of_the_stream_are_of_the_sdks_own_types(sdk: Sdk, client_for: Way, faulty_router: FaultyRouter) -> None:
    """Validated strictly: each field is there, and has the type that the SDK says."""
    answer_with(faulty_router, ANSWER)

    events = sdk.events(client_for(faulty_router.url), model="m", input="Hi", tools=[WEATHER, PATCH])

    for event in events:
        type(event).model_validate(event.to_dict(), strict=True)
    assert {event.type for event in events} == {
        *("response.created", "response.in_progress", "response.completed"),
        *("response.output_item.added", "response.output_item.done"),
        *("response.content_part.added", "response.content_part.done"),
        *("response.reasoning_text.delta", "response.reasoning_text.done"),
        *("response.output_text.delta", "response.output_text.done", "response.output_text.annotation.added"),
        *("response.function_call_arguments.delta", "response.function_call_arguments.done"),
        *("response.custom_tool_call_input.delta", "response.custom_tool_call_input.done"),
    }


def test_tool_loop_ends_with_what_the_tool_said(sdk: Sdk, client_for: Way, router: RunningRouter) -> None:
    client = client_for(router.url)
    history: list[Any] = [{"role": "user", "content": "How is the weather?"}]

    called = sdk.call(client.responses.create, model="m", input=history, tools=[WEATHER])
    (call,) = called.output
    history += [call, {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    answer = sdk.call(client.responses.create, model="m", input=history, tools=[WEATHER])

    assert (call.type, call.name, list(json.loads(call.arguments))) == ("function_call", "get_weather", ["city"])
    assert answer.output_text == "The tool answered: rain"


def test_answer_is_parsed_into_a_model(sdk: Sdk, client_for: Way, router: RunningRouter) -> None:
    said = '{"name": "Zo\u00eb", "age": 41}'

    parsed = sdk.call(client_for(router.url).responses.parse, model="m", input=said, text_format=Person)

    assert parsed.output_parsed == Person(name="Zo\u00eb", age=41)


def test_image_and_all_else_reach_the_router(
    sdk: Sdk, client_for: Way, faulty_router: FaultyRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nomyo.serve.router import echo

    told: list[dict[str, Any]] = []
    complete = echo.echo_completion
    monkeypatch.setattr(echo, "echo_completion", lambda request: told.append(dict(request)) or complete(request))  # type: ignore[func-returns-value]
    parts = [{"type": "input_text", "text": "What?"}, {"type": "input_image", "image_url": IMAGE, "detail": "low"}]

    sdk.call(
        client_for(faulty_router.url).responses.create,
        model="m",
        instructions="Be kind",
        input=[{"role": "user", "content": parts}],
        max_output_tokens=99,
        reasoning={"effort": "low"},
        extra_body={"top_k": 5},
    )

    shown = {"type": "image_url", "image_url": {"url": IMAGE, "detail": "low"}}
    assert told == [
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "Be kind"},
                {"role": "user", "content": [{"type": "text", "text": "What?"}, shown]},
            ],
            "max_completion_tokens": 99,
            "reasoning_effort": "low",
            "top_k": 5,
        }
    ]


def test_cut_answer_is_incomplete(sdk: Sdk, client_for: Way, router: RunningRouter) -> None:
    client = client_for(router.url)

    response = sdk.call(client.responses.create, model="m", input=TEXT, max_output_tokens=1)
    events = sdk.events(client, model="m", input=TEXT, max_output_tokens=1)

    assert (response.status, response.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert events[-1].type == "response.incomplete"


@pytest.mark.parametrize(
    ("request_fields", "param"),
    [
        ({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}, "input[0].content[0].type"),
        ({"input": "Hi", "previous_response_id": "resp_1"}, "previous_response_id"),
        ({"input": "Hi", "tools": [{"type": "web_search"}]}, "tools[0].type"),
    ],
)
def test_bad_request_is_refused_with_its_path_and_nothing_is_sent(
    sdk: Sdk, client_for: Way, faulty_router: FaultyRouter, request_fields: dict[str, Any], param: str
) -> None:
    client = client_for(faulty_router.url)

    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as raised:
            sdk.call(client.responses.create, model="m", stream=stream, **request_fields)
        assert raised.value.param == param
        assert raised.value.type == "invalid_request_error"
    assert faulty_router.posts == []


def test_tools_that_are_left_out_are_named(sdk: Sdk, client_for: Way, router: RunningRouter) -> None:
    raw = sdk.call(
        client_for(router.url).responses.with_raw_response.create,
        model="m",
        input="Hi",
        tools=[{"type": "web_search"}, WEATHER],
    )

    assert raw.headers["x-nomyo-left-out"] == "web_search"
    assert [tool.type for tool in raw.parse().tools] == ["function"]


def test_answer_that_is_not_clear_is_one_502(sdk: Sdk, client_for: Way, faulty_router: FaultyRouter) -> None:
    answer_with(faulty_router, {**HEAD, "choices": []})
    client = client_for(faulty_router.url)

    for stream in (False, True):
        with pytest.raises(openai.InternalServerError, match="has no choices") as raised:
            sdk.call(client.responses.create, model="m", input="Hi", stream=stream)
        assert (raised.value.status_code, raised.value.code) == (502, "unwritable_answer")


def test_numbers_that_json_does_not_know_are_null(sdk: Sdk, client_for: Way, faulty_router: FaultyRouter) -> None:
    logprobs = '{"content": [{"token": "Hi", "logprob": -Infinity, "bytes": [72], "top_logprobs": []}]}'
    choice = f'{{"message": {{"content": "Hi"}}, "finish_reason": "stop", "logprobs": {logprobs}}}'
    answer_with(faulty_router, f'{{"id": "c", "x": NaN, "choices": [{choice}], "usage": {{"prompt_tokens": NaN}}}}')
    client = client_for(faulty_router.url)

    whole = sdk.call(client.responses.create, model="m", input="Hi")
    events = sdk.events(client, model="m", input="Hi")

    for response in (whole, events[-1].response):
        assert response.output[0].content[0].logprobs[0].logprob is None
        assert (response.usage, response.model_extra["x"]) == (None, None)


def test_nothing_is_stored_that_could_be_fetched(sdk: Sdk, client_for: Way, faulty_router: FaultyRouter) -> None:
    client = client_for(faulty_router.url)

    for method in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
        with pytest.raises(openai.NotFoundError):
            sdk.call(method, "resp_1")
    assert faulty_router.received == []


def test_every_kind_of_tool_that_the_sdk_knows_is_translated_or_left_out() -> None:
    """A kind that is new in the SDK would be refused as unknown: it belongs into one of the two lists."""
    union = openai.types.responses.tool_param.ToolParam
    kinds = {kind for each in get_args(union) for kind in get_args(get_type_hints(each)["type"])}
    assert {"function", "custom", "web_search"} <= kinds

    for kind in kinds - {"function", "custom", "namespace"}:
        body = json.dumps({"model": "m", "input": "Hi", "tools": [{"type": kind}, WEATHER]}).encode()
        assert ResponsesForm().read(body, []).left_out == (kind,)
