"""The OpenAI SDK's clients with our transport inside: all that chat completions can do, in whichever major is there."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import openai
import pydantic
import pytest

import nomyo.openai
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.faults import FaultyRouter
from support.sdk import Sdk

HELLO: list[Any] = [{"role": "user", "content": "Hello, Zo\u00eb \U0001f600"}]
TEXT = HELLO[0]["content"]
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class Person(pydantic.BaseModel):
    name: str
    age: int


def test_clients_are_the_sdks_own(sdk: Sdk) -> None:
    wanted = {"sync": openai.OpenAI, "async": openai.AsyncOpenAI}[sdk.name]

    assert isinstance(sdk.client("https://127.0.0.1:9"), wanted)


def test_completion_is_what_the_router_answered(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    client = sdk.client(router.url, key_dir=key_directory)

    completion = sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert type(completion).__name__ == "ChatCompletion"
    assert completion.choices[0].message.content == TEXT
    assert completion.usage.total_tokens > 0
    metadata = completion.model_extra["_metadata"]
    assert metadata["is_encrypted"] is True
    assert metadata["payload_id"] == completion._request_id


def test_stream_is_the_whole_answer_as_chunks(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    client = sdk.client(router.url, key_dir=key_directory)

    chunks = sdk.chunks(client, model="m", messages=HELLO, n=2, stream_options={"include_usage": True})

    for index in (0, 1):
        choices = [choice for chunk in chunks for choice in chunk.choices if choice.index == index]
        assert choices[0].delta.role == "assistant"
        assert "".join(choice.delta.content or "" for choice in choices) == TEXT
        assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert len({chunk.id for chunk in chunks}) == 1


def test_stream_without_usage_has_none(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    chunks = sdk.chunks(sdk.client(router.url, key_dir=key_directory), model="m", messages=HELLO)

    assert all(chunk.usage is None and chunk.choices for chunk in chunks)


def test_tools_are_called_whole_and_streamed(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    client = sdk.client(router.url, key_dir=key_directory)
    request: dict[str, Any] = {"model": "m", "messages": HELLO, "tools": [WEATHER]}

    whole = sdk.call(client.chat.completions.create, **request).choices[0]
    choices = [choice for chunk in sdk.chunks(client, **request) for choice in chunk.choices]
    streamed = [call for choice in choices for call in choice.delta.tool_calls or []]

    assert whole.finish_reason == choices[-1].finish_reason == "tool_calls"
    assert whole.message.tool_calls[0].function.name == streamed[0].function.name == "get_weather"
    assert json.loads(whole.message.tool_calls[0].function.arguments) == json.loads(
        "".join(call.function.arguments for call in streamed)
    )
    assert {call.index for call in streamed} == {0}


def test_answer_is_parsed_into_a_model(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    client = sdk.client(router.url, key_dir=key_directory)
    messages = [{"role": "user", "content": '{"name": "Zo\u00eb", "age": 41}'}]

    parsed = sdk.call(client.chat.completions.parse, model="m", messages=messages, response_format=Person)

    assert parsed.choices[0].message.parsed == Person(name="Zo\u00eb", age=41)


def test_stream_helper_gathers_events(router: RunningRouter, key_directory: Path) -> None:
    with (
        nomyo.openai.OpenAI(api_key="a-key", base_url=router.url, allow_http=True, key_dir=key_directory) as client,
        client.chat.completions.stream(model="m", messages=HELLO) as stream,
    ):
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()

    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == TEXT


async def _stream_helper(url: str, key_dir: Path) -> str | None:
    async with (
        nomyo.openai.AsyncOpenAI(api_key="a-key", base_url=url, allow_http=True, key_dir=key_dir) as client,
        client.chat.completions.stream(model="m", messages=HELLO) as stream,
    ):
        return (await stream.get_final_completion()).choices[0].message.content


def test_stream_helper_gathers_with_asyncio(router: RunningRouter, key_directory: Path) -> None:
    import asyncio

    assert asyncio.run(_stream_helper(router.url, key_directory)) == TEXT


def test_raw_response_has_the_headers_and_the_completion(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    client = sdk.client(router.url, key_dir=key_directory)

    raw = sdk.call(client.chat.completions.with_raw_response.create, model="m", messages=HELLO)

    assert raw.status_code == 200
    assert raw.headers["content-type"] == "application/json"
    assert raw.parse().choices[0].message.content == TEXT
    own_library = "httpx2" if openai.VERSION.startswith("3.") else "httpx"
    assert type(raw.http_response).__module__.startswith(own_library)


def test_streamed_raw_response_says_that_it_is_complete(router: RunningRouter, key_directory: Path) -> None:
    with (
        nomyo.openai.OpenAI(api_key="a-key", base_url=router.url, allow_http=True, key_dir=key_directory) as client,
        client.chat.completions.with_streaming_response.create(model="m", messages=HELLO, stream=True) as response,
    ):
        lines = list(response.iter_lines())

    assert response.headers["x-nomyo-stream"] == "complete"
    assert response.headers["content-type"].startswith("text/event-stream")
    assert lines[0].startswith("data: {")
    assert lines[-2:] == ["data: [DONE]", ""]


def test_extra_body_is_sealed_and_stream_options_are_not(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from nomyo.serve.router import echo

    told: list[dict[str, Any]] = []
    complete = echo.echo_completion
    monkeypatch.setattr(echo, "echo_completion", lambda request: told.append(dict(request)) or complete(request))  # type: ignore[func-returns-value]
    client = sdk.client(faulty_router.url, key_dir=key_directory)

    sdk.chunks(
        client,
        model="m",
        messages=HELLO,
        stream_options={"include_usage": True},
        extra_body={"top_k": 2**70, "nested": {"a": [1.5, None]}},
    )

    assert told == [{"model": "m", "messages": HELLO, "top_k": 2**70, "nested": {"a": [1.5, None]}}]


def test_api_key_goes_to_the_router_and_nothing_else_that_identifies(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    client = sdk.client(
        faulty_router.url, key_dir=key_directory, api_key="key-one", organization="org-canary", project="proj-canary"
    )
    headers = {"X-Canary": "header-canary", "Cookie": "cookie-canary"}

    sdk.call(client.chat.completions.create, model="m", messages=HELLO, extra_headers=headers)

    (post,) = faulty_router.posts
    assert post.headers["authorization"] == "Bearer key-one"
    assert set(post.headers) == {
        *("host", "accept", "accept-encoding", "user-agent", "content-type", "content-length", "authorization"),
        *("x-payload-id", "x-public-key"),
    } | ({"connection"} if "connection" in post.headers else set())
    for request in faulty_router.received:
        assert "openai" not in str(request.headers).lower()
        assert "canary" not in str(request.headers)
        assert "stainless" not in str(request.headers).lower()


@pytest.mark.parametrize("way", ["client", "header", "body", "default header"])
def test_security_tier_travels_as_a_header(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path, way: str
) -> None:
    header = {"X-Security-Tier": "high"}
    options: dict[str, dict[str, Any]] = {
        "client": {"security_tier": "high"},
        "default header": {"default_headers": header},
    }
    request: dict[str, dict[str, Any]] = {
        "header": {"extra_headers": header},
        "body": {"extra_body": {"security_tier": "high"}},
    }
    client = sdk.client(faulty_router.url, key_dir=key_directory, **options.get(way, {}))

    completion = sdk.call(client.chat.completions.create, model="m", messages=HELLO, **request.get(way, {}))

    assert faulty_router.posts[0].headers["x-security-tier"] == "high"
    assert completion.model_extra["_metadata"]["security_tier"] == "high"


def test_request_has_a_tier_of_its_own(sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = sdk.client(faulty_router.url, key_dir=key_directory, security_tier="high")

    sdk.call(client.chat.completions.create, model="m", messages=HELLO, extra_headers={"X-Security-Tier": "maximum"})

    assert faulty_router.posts[0].headers["x-security-tier"] == "maximum"


class TestCopies:
    """`with_options`, which makes the client anew, shares keys and connections."""

    def test_copy_uses_the_same_keys_and_another_api_key(
        self, sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
    ) -> None:
        client = sdk.client(faulty_router.url, key_dir=key_directory, security_tier="high")
        copy = client.with_options(timeout=9, max_retries=1, api_key="key-two")

        for each in (client, copy, client.copy()):
            sdk.call(each.chat.completions.create, model="m", messages=HELLO)

        assert type(copy) is type(client)
        assert [post.headers["authorization"] for post in faulty_router.posts] == [
            "Bearer a-key",
            "Bearer key-two",
            "Bearer a-key",
        ]
        assert len(faulty_router.key_fetches) == 1
        assert {post.headers["x-security-tier"] for post in faulty_router.posts} == {"high"}

    def test_copy_of_a_client_without_a_key_has_none(
        self, sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
    ) -> None:
        client = sdk.client(faulty_router.url, key_dir=key_directory, api_key="")

        for each in (client, client.with_options(timeout=9)):
            sdk.call(each.chat.completions.create, model="m", messages=HELLO)

        assert ["authorization" in post.headers for post in faulty_router.posts] == [False, False]

    def test_closing_one_closes_all(self, sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
        client = sdk.client(router.url, key_dir=key_directory)
        copy = client.with_options(timeout=9)
        sdk.call(copy.chat.completions.create, model="m", messages=HELLO)

        sdk.call(copy.close)
        sdk.call(client.close)

        assert client.is_closed()
        with pytest.raises((openai.APIConnectionError, RuntimeError)):
            sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    def test_copy_for_another_address_is_refused_before_anything_leaves(
        self, sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
    ) -> None:
        client = sdk.client("https://127.0.0.1:9", key_dir=key_directory)

        with pytest.raises(openai.NotFoundError, match="make another one for another base_url"):
            sdk.call(client.with_options(base_url=faulty_router.url).chat.completions.create, model="m", messages=HELLO)

        assert faulty_router.received == []


def test_key_from_a_function_is_asked_for_each_request(
    sdk: Sdk, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    keys = iter(["key-1", "key-2", "key-3"])

    async def next_key() -> str:
        return next(keys)

    given: Any = next_key if sdk.name == "async" else lambda: next(keys)
    client = sdk.client(faulty_router.url, key_dir=key_directory, api_key=given)

    for each in (client, client, client.with_options(timeout=9)):
        sdk.call(each.chat.completions.create, model="m", messages=HELLO)

    assert [post.headers["authorization"][-5:] for post in faulty_router.posts] == ["key-1", "key-2", "key-3"]


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_base_url_is_the_routers_with_or_without_v1(
    sdk: Sdk, router: RunningRouter, key_directory: Path, suffix: str
) -> None:
    client = sdk.client(router.url + suffix, key_dir=key_directory)

    assert sdk.call(client.chat.completions.create, model="m", messages=HELLO).choices[0].message.content == TEXT


def test_client_brought_by_the_caller_carries_the_packages(
    router: RunningRouter, key_directory: Path, sdk: Sdk
) -> None:
    import httpx

    paths: list[str] = []
    if sdk.name == "sync":
        own: Any = httpx.Client(event_hooks={"request": [lambda request: paths.append(request.url.path)]})
    else:

        async def note(request: httpx.Request) -> None:
            paths.append(request.url.path)

        own = httpx.AsyncClient(event_hooks={"request": [note]})
    client = sdk.client(router.url, key_dir=key_directory, http_client=own)

    sdk.call(client.chat.completions.create, model="m", messages=HELLO)
    sdk.call(client.close)

    assert paths == ["/pki/public_key", "/v1/chat/secure_completion"]
    assert not own.is_closed
    sdk.call(own.close if sdk.name == "sync" else own.aclose)


def test_client_that_is_dropped_closes_its_connections(router: RunningRouter, key_directory: Path) -> None:
    client = nomyo.openai.OpenAI(api_key="a-key", base_url=router.url, allow_http=True, key_dir=key_directory)
    client.chat.completions.create(model="m", messages=HELLO)

    del client
    gc.collect()  # an open socket would be a ResourceWarning, which fails the test


def test_pinned_router_is_the_only_one_that_is_spoken_to(sdk: Sdk, router: RunningRouter, key_directory: Path) -> None:
    right = sdk.client(router.url, key_dir=key_directory, server_key_fingerprint=router.fingerprint)
    wrong = sdk.client(router.url, key_dir=key_directory, server_key_fingerprint="SHA256:" + "A" * 43)

    assert sdk.call(right.chat.completions.create, model="m", messages=HELLO).choices[0].message.content == TEXT
    with pytest.raises(nomyo.SecurityError, match="matches none of the pinned"):
        sdk.call(wrong.chat.completions.create, model="m", messages=HELLO)


def test_wrong_key_is_the_sdks_authentication_error(sdk: Sdk, key_directory: Path) -> None:
    with RunningRouter(RouterConfig(key_bits=2048, api_keys=frozenset({"the-right-key"}))) as router:
        client = sdk.client(router.url, key_dir=key_directory, api_key="a-wrong-key")
        with pytest.raises(openai.AuthenticationError, match="API key") as raised:
            sdk.call(client.chat.completions.create, model="m", messages=HELLO)

    assert raised.value.status_code == 401
    assert raised.value.type == "authentication_error"
