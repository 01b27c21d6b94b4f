"""Anthropic's form in the proxy: what its SDK gets, judged by its own types; what the router sees; and refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import pydantic
import pytest

from support.faults import Answer, FaultyRouter, note_opened
from support.needles import of_texts, texts
from support.odd_answers import answer_with, completion
from support.proxied import API_KEY, TOKEN, Proxy, proxy_process
from support.server_events import events_in

HELLO: list[Any] = [{"role": "user", "content": "Hello, Zoë 😀"}]
WEATHER: Any = {
    "name": "get_weather",
    "description": "The weather of a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
SEARCH: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search"}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}
PATHS = ("/v1/messages", "/v1/messages/count_tokens")


class Person(pydantic.BaseModel):
    name: str
    age: int


@pytest.fixture(scope="module")
def router() -> Iterator[FaultyRouter]:
    with FaultyRouter() as router:
        yield router


@pytest.fixture(scope="module")
def shared_proxy(router: FaultyRouter, key_directory: Path) -> Iterator[Proxy]:
    options = ["--max-retries", "0", "--model", "one", "--model", "two", "--max-body", "4000000"]
    with proxy_process(router.url, key_directory, *options) as proxy:
        yield proxy


@pytest.fixture
def proxy(shared_proxy: Proxy, router: FaultyRouter) -> Proxy:
    router.reset()
    return shared_proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=proxy.url, api_key=TOKEN, max_retries=0) as client:
        yield client


@pytest.fixture
def opened(router: FaultyRouter, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the router opened."""
    return note_opened(router, monkeypatch)


def asking(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "max_tokens": 100, "messages": HELLO, **fields}


def refused(answer: Any) -> tuple[int, str, str]:
    """Return the status of an error, its type and message; its form must be Anthropic's."""
    body = answer.json()
    assert set(body) == {"type", "error"}
    assert set(body["error"]) == {"type", "message"}
    assert body["type"] == "error"
    return answer.status_code, body["error"]["type"], body["error"]["message"]


def test_sdk_creates_a_message(client: anthropic.Anthropic) -> None:
    message = client.messages.create(**asking())

    assert isinstance(message, anthropic.types.Message)
    assert [(block.type, getattr(block, "text", None)) for block in message.content] == [("text", HELLO[0]["content"])]
    assert message.stop_reason == "end_turn"
    assert message.usage.input_tokens > 0
    assert message.model_extra
    assert message.model_extra["_metadata"]["is_encrypted"] is True


def test_sdk_puts_a_stream_together(client: anthropic.Anthropic) -> None:
    whole = client.messages.create(**asking())
    with client.messages.stream(**asking()) as stream:
        text = "".join(stream.text_stream)
        message = stream.get_final_message()

    assert text == HELLO[0]["content"]
    assert message.content[0].model_dump(exclude_none=True) == whole.content[0].model_dump(exclude_none=True)
    assert message.usage.output_tokens == whole.usage.output_tokens
    assert message.stop_reason == whole.stop_reason


def test_stream_says_that_it_is_not_incremental(proxy: Proxy) -> None:
    answer = proxy.post(asking(stream=True), "/v1/messages")

    assert answer.headers["x-nomyo-stream"] == "complete"
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [name for name, _ in events_in(answer.content)]
    assert (names[0], names[-2:]) == ("message_start", ["message_delta", "message_stop"])


def test_sdk_goes_through_a_tool_loop(client: anthropic.Anthropic, opened: list[dict[str, Any]]) -> None:
    called = client.messages.create(**asking(tools=[WEATHER], tool_choice={"type": "any"}))
    with client.messages.stream(**asking(tools=[WEATHER])) as stream:
        streamed = stream.get_final_message()
    (call,) = called.content
    assert isinstance(call, anthropic.types.ToolUseBlock)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "12 degrees"}
    messages = [*HELLO, called.to_param(), {"role": "user", "content": [result]}]
    client.messages.create(**asking(tools=[WEATHER], messages=messages))

    assert (called.stop_reason, call.name) == ("tool_use", "get_weather")
    assert isinstance(streamed.content[0], anthropic.types.ToolUseBlock)
    assert streamed.content[0].input == call.input
    assert opened[0]["tool_choice"] == "required"
    sent = opened[-1]["messages"]
    assert sent[1]["tool_calls"][0]["id"] == call.id
    assert json.loads(sent[1]["tool_calls"][0]["function"]["arguments"]) == call.input
    assert sent[2] == {"role": "tool", "tool_call_id": call.id, "content": "12 degrees"}


def test_sdk_sends_images(client: anthropic.Anthropic, opened: list[dict[str, Any]]) -> None:
    client.messages.create(**asking(messages=[{"role": "user", "content": [{"type": "text", "text": "See."}, IMAGE]}]))

    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    assert opened[0]["messages"][0]["content"] == [{"type": "text", "text": "See."}, image]


def test_sdk_parses_an_answer_into_a_model(client: anthropic.Anthropic, opened: list[dict[str, Any]]) -> None:
    messages = [{"role": "user", "content": '{"name": "Zoë", "age": 41}'}]

    parsed = client.messages.parse(**asking(messages=messages), output_format=Person)

    assert parsed.parsed_output == Person(name="Zoë", age=41)
    assert opened[0]["response_format"]["json_schema"]["schema"]["required"] == ["name", "age"]


def test_beta_client_asks_with_the_query_that_changes_nothing(client: anthropic.Anthropic) -> None:
    message = client.beta.messages.create(**asking(), betas=["context-management-2025-06-27"])

    assert message.content[0].text == HELLO[0]["content"]


def test_other_query_is_refused(proxy: Proxy, router: FaultyRouter) -> None:
    for path in PATHS:
        answer = proxy.post(asking(), path + "?beta=false")
        assert refused(answer)[:2] == (400, "invalid_request_error")
    assert not router.posts


def test_wire_shows_neither_prompt_nor_answer_nor_token(
    proxy: Proxy, router: FaultyRouter, client: anthropic.Anthropic
) -> None:
    secrets = texts("prompt")
    answers: list[bytes] = []
    router.change = lambda body: answers.append(body) or body  # type: ignore[func-returns-value]
    for text in secrets:
        client.messages.create(**asking(messages=[{"role": "user", "content": text.content}]))
    sent = [
        b"\n".join([*(name + b": " + value for name, value in post.raw_headers), post.body]) for post in router.posts
    ]
    assert len(sent) == len(answers) == len(secrets)
    for package in (*sent, *answers):
        assert not any(needle.content in package for needle in of_texts(secrets))
        assert TOKEN.encode() not in package
    assert all(post.headers["authorization"] == f"Bearer {API_KEY}" for post in router.posts)


def test_token_comes_as_x_api_key_too(proxy: Proxy) -> None:
    for headers in ({"authorization": None}, {}):
        assert proxy.post(asking(), "/v1/messages", x_api_key=TOKEN, **headers).status_code == 200
    assert proxy.get("/v1/models", authorization=None, x_api_key=TOKEN).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": None, "x_api_key": "wrong"},
        {"authorization": None, "x_api_key": ""},
        {"authorization": None},
        {"x_api_key": "wrong"},
        {"authorization": "Bearer wrong", "x_api_key": TOKEN},
        {"authorization": "Basic x", "x_api_key": TOKEN},
    ],
)
def test_without_the_token_there_is_no_message(
    proxy: Proxy, router: FaultyRouter, headers: dict[str, str | None]
) -> None:
    for path in PATHS:
        assert refused(proxy.post(asking(), path, **headers))[:2] == (401, "authentication_error")
    assert not router.posts


@pytest.mark.slow("a proxy of its own, whose log is read")
def test_tools_of_other_servers_are_left_out_and_told(
    router: FaultyRouter, key_directory: Path, opened: list[dict[str, Any]]
) -> None:
    router.reset()
    with proxy_process(router.url, key_directory) as proxy:
        for stream in (False, True):
            answer = proxy.post(asking(tools=[WEATHER, SEARCH], stream=stream), "/v1/messages")
            assert answer.headers["x-nomyo-left-out"] == "web_search"
        asked_for = asking(tools=[WEATHER, SEARCH], tool_choice={"type": "tool", "name": "web_search"})
        assert refused(proxy.post(asked_for, "/v1/messages"))[2].startswith("tool_choice.name: ")
        proxy.post(asking(), "/v1/messages/count_tokens")
        metrics = proxy.get("/metrics").text
        proxy.stop()

    assert [[tool["function"]["name"] for tool in request["tools"]] for request in opened] == [["get_weather"]] * 2
    assert proxy.stderr.count("web_search") == 1
    for path in PATHS:
        assert f'"{path}"' in metrics
        assert path in proxy.stderr
    assert "Hello" not in proxy.stderr


def test_error_names_the_path_and_nothing_is_sent(proxy: Proxy, router: FaultyRouter) -> None:
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": "12"}
    bodies: list[tuple[Any, str]] = [
        (b"", "the body must be"),
        (asking(messages=[*HELLO, {"role": "user", "content": [result]}]), "messages[1].content[0].tool_use_id: "),
        (asking(messages=[{"role": "user", "content": [{"type": "smell"}]}]), "messages[0].content[0].type: "),
        (asking(api_key="x"), "api_key: "),
    ]
    for body, words in bodies:
        for path in PATHS:
            status, kind, message = refused(proxy.post(body, path))
            assert (status, kind) == (400, "invalid_request_error")
            assert message.startswith(words)
    assert refused(proxy.post(asking(max_tokens=0), "/v1/messages"))[2].startswith("max_tokens: ")
    assert not router.posts


def test_refusals_of_all_kinds_have_anthropics_form(proxy: Proxy) -> None:
    for path in PATHS:
        assert refused(proxy.get(path))[0] == 405
        assert refused(proxy.post(asking(), path, content_type="text/plain"))[0] == 415
        assert refused(proxy.post(b" " * 4_000_001, path))[:2] == (413, "request_too_large")
    assert refused(proxy.post(asking(), "/v1/messages/batches"))[:2] == (404, "not_found_error")
    assert refused(proxy.get("/v1/files", anthropic_version="2023-06-01"))[:2] == (404, "not_found_error")


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, anthropic.BadRequestError),
        (403, anthropic.PermissionDeniedError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (503, anthropic.InternalServerError),
    ],
)
def test_sdk_raises_its_own_error_for_the_routers(
    client: anthropic.Anthropic, router: FaultyRouter, status: int, raised: type[anthropic.APIStatusError]
) -> None:
    router.answers.append(Answer(status, b'{"detail": "its words"}'))

    with pytest.raises(raised, match="its words") as caught:
        client.messages.create(**asking())

    assert caught.value.status_code == status


def test_answer_that_is_no_message_is_one_clear_bad_gateway(proxy: Proxy, router: FaultyRouter) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "no JSON"}}
    contents: list[Any] = [
        {"choices": []},
        {"choices": [{}]},
        completion({"content": None, "tool_calls": [call]}),
        "[]",
    ]
    for content in contents:
        answer_with(router, content)
        for stream in (False, True):
            answer = proxy.post(asking(stream=stream), "/v1/messages")
            assert refused(answer)[:2] == (502, "api_error")
            assert answer.headers["x-should-retry"] == "false"


def test_tokens_are_counted_without_sending_anything(
    proxy: Proxy, router: FaultyRouter, client: anthropic.Anthropic
) -> None:
    few = client.messages.count_tokens(model="m", messages=HELLO)
    more = client.messages.count_tokens(model="m", messages=HELLO, system="Be brief.", tools=[WEATHER])
    beta = client.beta.messages.count_tokens(model="m", messages=HELLO)

    assert 0 < few.input_tokens == beta.input_tokens < more.input_tokens
    assert not router.received


def test_models_are_listed_in_the_form_that_is_asked_for(proxy: Proxy, client: anthropic.Anthropic) -> None:
    models = list(client.models.list())

    assert [(model.id, model.display_name, model.type) for model in models] == [
        ("one", "one", "model"),
        ("two", "two", "model"),
    ]
    assert client.models.retrieve("two").id == "two"
    assert models[0].created_at.tzinfo is not None
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("three")
    assert proxy.get("/v1/models").json()["object"] == "list"
