"""Anthropic's SDK's clients with our transport inside: messages, tools, images, copies, errors, and what leaves."""

from __future__ import annotations

import base64
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pydantic
import pytest

import nomyo.anthropic
from nomyo._install_command import install_command
from nomyo.serve.router.running import RunningRouter
from support.faults import Answer, FaultyRouter, note_opened
from support.odd_answers import answer_with, completion
from support.process import output_of
from support.sdk import Sdk
from support.tap import Tap

PROMPT = "canary-prompt-b41e"
KEY = "canary-key-77d0"
HELLO: list[Any] = [{"role": "user", "content": PROMPT}]
ASKING: dict[str, Any] = {"model": "m", "max_tokens": 100, "messages": HELLO}
WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}}


class Person(pydantic.BaseModel):
    name: str
    age: int


@pytest.fixture
def opened(faulty_router: FaultyRouter, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the router opened."""
    return note_opened(faulty_router, monkeypatch)


def test_clients_are_the_sdks_own(sdk: Sdk) -> None:
    wanted = {"sync": anthropic.Anthropic, "async": anthropic.AsyncAnthropic}[sdk.name]

    assert isinstance(sdk.client("https://127.0.0.1:9"), wanted)


def test_message_is_what_the_router_answered(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    client = sdk.client(router.url, key_dir=key_directory)

    message = sdk.call(client.messages.create, **ASKING)
    streamed = sdk.put_together(client, **ASKING)

    assert isinstance(message, anthropic.types.Message)
    assert message.content[0].text == streamed.content[0].text == PROMPT  # type: ignore[union-attr]
    assert message.usage.output_tokens == streamed.usage.output_tokens > 0
    assert message.stop_reason == streamed.stop_reason == "end_turn"
    assert message.model_extra
    assert message.model_extra["_metadata"]["payload_id"]


def test_tools_images_and_schemas_are_sealed(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, opened: list[dict[str, Any]]
) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory)

    called = sdk.call(client.messages.create, **ASKING, tools=[WEATHER], tool_choice={"type": "any"})
    streamed = sdk.put_together(client, **ASKING, tools=[WEATHER])
    result = {"type": "tool_result", "tool_use_id": called.content[0].id, "content": [IMAGE], "is_error": False}
    sdk.call(
        client.messages.create,
        **{**ASKING, "messages": [*HELLO, called.to_param(), {"role": "user", "content": [result]}]},
    )
    said = [{"role": "user", "content": '{"name": "Zoë", "age": 41}'}]
    parsed = sdk.call(client.messages.parse, **{**ASKING, "messages": said}, output_format=Person)

    assert (called.stop_reason, called.content[0].name) == ("tool_use", "get_weather")
    assert streamed.content[0].input == called.content[0].input
    assert opened[2]["messages"][-1]["content"][0]["image_url"]["url"] == "data:image/png;base64,iVBORw0KGgo="
    assert parsed.parsed_output == Person(name="Zoë", age=41)


def test_beta_client_and_raw_responses_work(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    client = sdk.client(router.url, key_dir=key_directory)

    message = sdk.call(client.beta.messages.create, **ASKING, betas=["interleaved-thinking-2025-05-14"])
    tools = [WEATHER, {"type": "web_search_20250305", "name": "web_search"}]
    raw = sdk.call(client.messages.with_raw_response.create, **ASKING, tools=tools)

    assert message.content[0].text == PROMPT
    assert raw.headers["x-nomyo-left-out"] == "web_search"
    assert raw.headers["x-request-id"]


def test_tokens_are_counted_without_sending_anything(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory)

    count = sdk.call(client.messages.count_tokens, model="m", messages=HELLO)

    assert 0 < count.input_tokens < 50
    assert not faulty_router.received


def test_network_sees_nothing_of_the_conversation(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    with Tap(router.url) as tap:
        client = sdk.client(tap.url, key_dir=key_directory, api_key=KEY)
        sdk.call(client.messages.create, **{**ASKING, "model": "canary-model"})
        sdk.put_together(client, **{**ASKING, "model": "canary-model"})
        sdk.call(client.close)

    assert KEY.encode() in tap.seen  # the tap sees what is there to be seen
    for word in (PROMPT, "canary-model", "assistant"):
        for form in (word.encode(), base64.b64encode(word.encode())[:-4]):
            assert form not in tap.seen


def test_only_the_key_goes_to_the_router(sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory, api_key=KEY, default_headers={"X-Canary": "canary"})

    sdk.call(client.messages.create, **ASKING, extra_headers={"Cookie": "cookie-canary"})

    assert [post.headers["authorization"] for post in faulty_router.posts] == [f"Bearer {KEY}"]
    for request in faulty_router.received:
        shown = str({**request.headers, "authorization": ""}).lower()
        assert not any(word in shown for word in ("anthropic", "stainless", "canary", "x-api-key"))


@pytest.fixture
def _anthropics_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("API_KEY", "AUTH_TOKEN"):
        monkeypatch.setenv(f"ANTHROPIC_{name}", "sk-canary")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "https://canary.invalid")
    monkeypatch.setenv("ANTHROPIC_PROFILE", "canary")
    monkeypatch.setenv("ANTHROPIC_CUSTOM_HEADERS", "Authorization: Bearer canary\nX-Security-Tier: maximum")


@pytest.mark.usefixtures("_anthropics_environment")
def test_nomyos_variables_are_the_ones_that_count(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(anthropic.AnthropicError, match="ANTHROPIC_API_KEY is not read") as missing:
        sdk.client_class()
    monkeypatch.setenv("NOMYO_API_KEY", "the-routers-key")
    monkeypatch.setenv("NOMYO_BASE_URL", faulty_router.url)
    client = sdk.client_class(allow_http=True, key_dir=key_directory)

    for each in (client, client.with_options(timeout=9)):
        sdk.call(each.messages.create, **ASKING)
    sdk.call(client.close)

    assert "canary" not in str(missing.value)
    assert [post.headers["authorization"] for post in faulty_router.posts] == ["Bearer the-routers-key"] * 2
    assert "canary" not in str([request.headers for request in faulty_router.received])
    assert "x-security-tier" not in faulty_router.posts[0].headers


@pytest.mark.usefixtures("_anthropics_environment")
def test_request_without_a_key_has_none(sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory, api_key="")

    for each in (client, client.with_options(timeout=9)):
        sdk.call(each.messages.create, **ASKING)

    assert ["authorization" in post.headers for post in faulty_router.posts] == [False, False]


def test_copies_share_keys_and_connections(sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory, security_tier="high")
    copy = client.with_options(timeout=9, max_retries=1, api_key="key-two")

    for each in (client, copy, client.copy()):
        sdk.call(each.messages.create, **ASKING)
    with pytest.raises(anthropic.NotFoundError, match="make another one for another base_url"):
        sdk.call(client.with_options(base_url="https://127.0.0.1:9").messages.create, **ASKING)
    with pytest.raises(anthropic.AnthropicError, match="make another client"):
        client.with_options(http_client=object())
    sdk.call(copy.close)

    assert type(copy) is type(client)
    keys = [post.headers["authorization"] for post in faulty_router.posts]
    assert keys == ["Bearer a-key", "Bearer key-two", "Bearer a-key"]
    assert len(faulty_router.key_fetches) == 1
    assert {post.headers["x-security-tier"] for post in faulty_router.posts} == {"high"}
    assert client.is_closed()


def test_client_brought_by_the_caller_carries_the_packages(
    sdk: Sdk, router: RunningRouter, key_directory: Path
) -> None:
    own: Any = httpx.Client() if sdk.name == "sync" else httpx.AsyncClient()
    client = sdk.client(router.url, key_dir=key_directory, http_client=own)

    sdk.call(client.messages.create, **ASKING)
    sdk.call(client.close)

    assert not own.is_closed
    sdk.call(own.close if sdk.name == "sync" else own.aclose)


@pytest.mark.parametrize(
    ("status", "error_class", "attempts"),
    [
        (400, anthropic.BadRequestError, 1),
        (401, anthropic.AuthenticationError, 1),
        (429, anthropic.RateLimitError, 3),
        (503, anthropic.InternalServerError, 3),
        (302, anthropic.InternalServerError, 1),
    ],
)
def test_status_is_the_sdks_error_after_the_sdks_attempts(
    sdk: Sdk,
    faulty_router: FaultyRouter,
    key_directory: Path,
    status: int,
    error_class: type[anthropic.APIStatusError],
    attempts: int,
) -> None:
    faulty_router.always(Answer(status, b'{"detail": "the words of the server"}'))
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2)

    with pytest.raises(error_class) as raised:
        sdk.call(client.messages.create, **ASKING)

    assert isinstance(raised.value.body, dict)
    assert raised.value.body["type"] == "error"
    assert len(faulty_router.posts) == attempts


def test_answer_that_is_no_message_is_asked_for_once(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "no JSON"}}
    answer_with(faulty_router, completion({"content": None, "tool_calls": [call]}))
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2)

    with pytest.raises(anthropic.InternalServerError, match="not a JSON object"):
        sdk.call(client.messages.create, **ASKING)

    assert len(faulty_router.posts) == 1


def test_router_that_is_not_there_is_a_connection_error(sdk: Sdk, unused_port: int, key_directory: Path) -> None:
    client = sdk.client(f"http://127.0.0.1:{unused_port}", key_dir=key_directory)

    with pytest.raises(anthropic.APIConnectionError):
        sdk.call(client.messages.create, **ASKING)


UNSAFE: dict[str, tuple[dict[str, Any], int, str]] = {
    "plain HTTP": ({"allow_http": False}, 0, "plain HTTP"),
    "damaged answer": ({}, 2, "cannot be opened"),
    "wrong pin": ({"server_key_fingerprint": "SHA256:" + "A" * 43}, 1, "pinned"),
}


@pytest.mark.parametrize("what", UNSAFE)
def test_what_is_not_safe_is_a_security_error_that_is_not_retried(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, what: str
) -> None:
    options, requests, words = UNSAFE[what]
    faulty_router.change = lambda body: body[:-40]
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2, **options)

    with pytest.raises(nomyo.SecurityError, match=words) as raised:
        sdk.call(client.messages.create, **ASKING)

    assert isinstance(raised.value, anthropic.AnthropicError)
    assert PROMPT not in f"{raised.value!r} {raised.value.__context__!r}"
    assert len(faulty_router.received) == requests


OTHERS: dict[str, Callable[[Any], tuple[Callable[..., Any], dict[str, Any]]]] = {
    "models": lambda client: (client.models.retrieve, {"model_id": "canary"}),
    "batches": lambda client: (client.messages.batches.retrieve, {"message_batch_id": "canary"}),
    "query": lambda client: (client.messages.create, {**ASKING, "extra_query": {"a": "b"}}),
    "key in the body": lambda client: (client.messages.create, {**ASKING, "extra_body": {"api_key": "canary"}}),
    "no such tier": lambda client: (client.messages.create, {**ASKING, "extra_headers": {"X-Security-Tier": "low"}}),
    "unknown block": lambda client: (
        client.messages.create,
        {**ASKING, "messages": [{"role": "user", "content": [{"type": "smell"}]}]},
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_what_cannot_travel_sealed_is_refused_before_anything_leaves(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, what: str
) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory, max_retries=2)
    method, request = OTHERS[what](client)

    with pytest.raises((anthropic.NotFoundError, anthropic.BadRequestError), match="nothing was sent") as raised:
        sdk.call(method, **request)

    assert isinstance(raised.value.body, dict)
    assert raised.value.body["type"] == "error"
    assert faulty_router.received == []


@pytest.mark.parametrize("option", nomyo.anthropic._NOT_OFFERED)
def test_options_that_lead_elsewhere_are_refused(sdk: Sdk, option: str) -> None:
    with pytest.raises(anthropic.AnthropicError, match=f"{option} leads around the router"):
        sdk.client("https://127.0.0.1:9", **{option: "x"})


LOGGED = ("anthropic", "httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "nomyo")


@pytest.fixture
def every_log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """Everything that anybody logs at DEBUG."""
    for name in ("", *LOGGED):
        caplog.set_level(logging.DEBUG, name or None)
    yield caplog
    for name in LOGGED:
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_no_log_line_shows_the_conversation(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, every_log: pytest.LogCaptureFixture
) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory, api_key=KEY, max_retries=1, debug=True)
    faulty_router.answers.append(Answer(500, b""))

    sdk.call(client.messages.create, **ASKING)
    sdk.put_together(client, **ASKING)

    assert "package:" in every_log.text  # something is logged
    assert PROMPT not in every_log.text
    assert KEY not in every_log.text


def test_plain_http_is_warned_of_where_the_client_is_made(sdk: Sdk) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client = sdk.client_class(api_key="a-key", base_url="http://127.0.0.1:9", allow_http=True, key_dir=None)
    sdk.call(client.close)

    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]


def test_missing_extra_is_said() -> None:
    program = (
        "import sys; sys.modules['anthropic'] = None\n"
        "try:\n    import nomyo.anthropic\n"
        "except ModuleNotFoundError as error:\n    print(error, '|', error.name, error.__cause__)"
    )
    words = f"nomyo.anthropic needs the extra 'anthropic': {install_command('anthropic')} | anthropic None\n"

    assert output_of(program) == words
