"""The seeds' options, request fields, response fields and examples, in both twins."""

from __future__ import annotations

import json
import pickle
import uuid
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo.serve.router.running import RunningRouter
from support.faults import FaultyRouter
from support.peer import open_with, seal_for
from support.twins import Twin
from support.weather_tool import WEATHER

HELLO = [{"role": "user", "content": "Hello! How are you today?"}]
EVERY_FIELD: dict[str, Any] = {
    "model": "Qwen/Qwen3-0.6B",
    "messages": HELLO,
    "temperature": 0.7,
    "top_p": 0.9,
    "max_tokens": 100,
    "stop": ["END", "STOP"],
    "n": 1,
    "presence_penalty": -1.5,
    "frequency_penalty": 1.25,
    "logit_bias": {"50256": -100},
    "user": "someone",
    "tools": [WEATHER],
    "tool_choice": "none",
    "response_format": {"type": "json_object"},
    "seed": 2**70,
}


def test_create_takes_keywords_and_the_request_object_alike(
    twin: Twin, router: RunningRouter, key_directory: Path
) -> None:
    chat = twin.chat(router.url, key_dir=key_directory)

    by_keywords = twin.call(chat.create, model="Qwen/Qwen3-0.6B", messages=HELLO, temperature=0.7)
    by_object = twin.call(chat.create, {"model": "Qwen/Qwen3-0.6B", "messages": HELLO, "temperature": 0.7})
    by_both = twin.call(chat.create, {"model": "x", "messages": HELLO}, model="Qwen/Qwen3-0.6B")
    by_alias = twin.call(chat.acreate, model="Qwen/Qwen3-0.6B", messages=HELLO)

    for response in (by_keywords, by_object, by_both, by_alias):
        assert response["choices"][0]["message"]["content"] == "Hello! How are you today?"
        assert response.model == "Qwen/Qwen3-0.6B"


def test_every_field_arrives_as_it_was_given_and_ours_do_not(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, api_key="the-client's-own")
    twin.call(chat.create, EVERY_FIELD, api_key="this-request's", security_tier="maximum")

    (post,) = faulty_router.posts
    request = open_with(faulty_router.private_key_pem, post.body)
    assert request == EVERY_FIELD
    assert post.headers["authorization"] == "Bearer this-request's"
    assert post.headers["x-security-tier"] == "maximum"
    assert post.headers["content-type"] == "application/octet-stream"
    assert post.headers["accept-encoding"] == "identity"
    assert uuid.UUID(post.headers["x-payload-id"]).version == 4


def test_response_has_the_documented_shape(twin: Twin, router: RunningRouter, key_directory: Path) -> None:
    chat = twin.chat(router.url, key_dir=key_directory)

    response = twin.call(chat.create, model="m", messages=HELLO, security_tier="high")

    assert isinstance(response, nomyo.ChatCompletionResponse)
    assert issubclass(type(response), dict)
    assert response.object == "chat.completion"
    assert isinstance(response.id, str)
    assert isinstance(response.created, int)
    choice = response.choices[0]
    assert choice.index == 0
    assert choice.finish_reason == "stop"
    assert choice.message.role == "assistant"
    assert response.usage is not None
    assert response.usage.total_tokens == response.usage.prompt_tokens + response.usage.completion_tokens
    metadata = response._metadata
    assert uuid.UUID(metadata.payload_id).version == 4
    assert isinstance(metadata.processed_at, int)
    assert metadata.is_encrypted is True
    assert metadata.encryption_algorithm == "hybrid-aes256-rsa4096"
    assert metadata.response_status == "success"
    assert metadata.security_tier == "high"
    assert set(metadata.memory_protection) == {
        "platform",
        "memory_locking",
        "secure_zeroing",
        "core_dump_prevention",
    }
    assert set(metadata.cuda_device) == {"available", "device_hash"}


def test_clients_metadata_wins_over_the_servers(
    twin: Twin, faulty_router: FaultyRouter, client_key: Any, key_directory: Path
) -> None:
    claimed = {
        "payload_id": "forged",
        "processed_at": 1,
        "is_encrypted": False,
        "encryption_algorithm": "none",
        "kept": [1],
    }
    faulty_router.change = lambda _: seal_for(client_key.public_key.pem, {"id": "x", "_metadata": claimed})
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    metadata = twin.call(chat.create, model="m", messages=HELLO)["_metadata"]

    assert metadata == {
        "payload_id": faulty_router.posts[0].headers["x-payload-id"],
        "processed_at": None,
        "is_encrypted": True,
        "encryption_algorithm": "hybrid-aes256-rsa4096",
        "kept": [1],
    }


@pytest.mark.parametrize("claimed", [None, [], "text", 7])
def test_metadata_of_another_type_is_replaced(
    twin: Twin, faulty_router: FaultyRouter, client_key: Any, key_directory: Path, claimed: object
) -> None:
    faulty_router.change = lambda _: seal_for(
        client_key.public_key.pem, {"_metadata": claimed}, outer={"processed_at": 12.5}
    )
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    metadata = twin.call(chat.create, model="m", messages=HELLO)._metadata

    assert metadata.is_encrypted is True
    assert metadata.processed_at == 12.5


def test_tools_example_of_the_getting_started_page(twin: Twin, router: RunningRouter, key_directory: Path) -> None:
    chat = twin.chat(router.url, key_dir=key_directory)
    question = [{"role": "user", "content": "What's the weather in Paris?"}]

    response = twin.call(
        chat.create, model="m", messages=question, tools=[WEATHER], tool_choice="auto", temperature=0.7
    )

    message = response.choices[0].message
    assert message.tool_calls
    call = message.tool_calls[0]
    assert call.function.name == "get_weather"
    assert set(json.loads(call.function.arguments)) == {"location"}
    assert response.choices[0].finish_reason == "tool_calls"

    result = {"role": "tool", "tool_call_id": call.id, "content": "14 degrees"}
    answer = twin.call(chat.create, model="m", messages=[*question, message, result], tools=[WEATHER])
    assert "14 degrees" in answer.choices[0].message.content
    assert not answer.choices[0].message.tool_calls


def test_reasoning_content_is_read_as_an_attribute(
    twin: Twin, faulty_router: FaultyRouter, client_key: Any, key_directory: Path
) -> None:
    message = {"role": "assistant", "content": "42", "reasoning_content": "six times seven"}
    faulty_router.change = lambda _: seal_for(client_key.public_key.pem, {"choices": [{"message": message}]})
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    response = twin.call(chat.create, model="m", messages=HELLO)

    assert response.choices[0].message.reasoning_content == "six times seven"


def test_base_url_of_a_request_uses_a_temporary_client(
    twin: Twin, router: RunningRouter, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    chat = twin.chat(router.url, key_dir=key_directory, api_key="mine")

    elsewhere = twin.call(chat.create, model="m", messages=HELLO, base_url=faulty_router.url)
    here = twin.call(chat.create, model="m", messages=HELLO)

    assert elsewhere.choices[0].message.content == here.choices[0].message.content
    (post,) = faulty_router.posts
    assert post.headers["authorization"] == "Bearer mine"
    assert open_with(faulty_router.private_key_pem, post.body) == {"model": "m", "messages": HELLO}


def test_base_url_of_a_request_is_held_to_https(twin: Twin, router: RunningRouter, key_directory: Path) -> None:
    chat = twin.chat("https://127.0.0.1:9", key_dir=key_directory, allow_http=False)

    with pytest.raises(nomyo.SecurityError, match="plain HTTP"):
        twin.call(chat.create, model="m", messages=HELLO, base_url=router.url)


@pytest.mark.parametrize("suffix", ["/", "/v1", "/v1/", "//v1", "/v1/v1/"])
def test_address_may_be_that_of_an_openai_server(
    twin: Twin, router: RunningRouter, key_directory: Path, suffix: str
) -> None:
    client = twin.client(router.url + suffix, key_dir=key_directory)
    chat = twin.chat("https://127.0.0.1:9", key_dir=key_directory, allow_http=True)

    assert client.settings.base_url == router.url
    with pytest.warns(UserWarning, match="HTTP"):
        answer = twin.call(chat.create, model="m", messages=HELLO, base_url=router.url + suffix)
    assert answer.choices[0].message.content == HELLO[0]["content"]


def test_api_key_and_base_url_come_from_the_environment(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOMYO_API_KEY", "from-the-environment")
    monkeypatch.setenv("NOMYO_BASE_URL", faulty_router.url + "/")
    for client_class in (twin.chat_class, twin.client_class):
        client = client_class(allow_http=True, key_dir=key_directory)
        payload = {"model": "m", "messages": HELLO}
        if client_class is twin.chat_class:
            twin.call(client.create, payload)
        else:
            twin.call(client.send_secure_request, payload, str(uuid.uuid4()))
        client.dispose()

    assert [post.headers["authorization"] for post in faulty_router.posts] == ["Bearer from-the-environment"] * 2


def test_explicit_options_win_over_the_environment(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOMYO_API_KEY", "from-the-environment")
    monkeypatch.setenv("NOMYO_BASE_URL", "http://127.0.0.1:9")
    chat = twin.chat(faulty_router.url, key_dir=key_directory, api_key="explicit")

    twin.call(chat.create, model="m", messages=HELLO)

    assert faulty_router.posts[0].headers["authorization"] == "Bearer explicit"


def test_empty_api_key_means_none_and_asks_no_environment(
    twin: Twin, router: RunningRouter, faulty_router: FaultyRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOMYO_API_KEY", "from-the-environment")
    chat = twin.chat(router.url, key_dir=key_directory, api_key="")

    twin.call(chat.create, model="m", messages=HELLO, base_url=faulty_router.url)

    assert "authorization" not in faulty_router.posts[0].headers


def test_plain_http_of_one_request_is_warned_of(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    chat = twin.chat("https://127.0.0.1:9", key_dir=key_directory)
    with pytest.warns(UserWarning, match="plain HTTP"):
        twin.call(chat.create, model="m", messages=HELLO, base_url=faulty_router.url)


def test_how_a_request_travels_is_never_sealed_by_single_operations(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    client = twin.client(faulty_router.url, key_dir=key_directory)
    payload = {"model": "m", "api_key": "k", "base_url": "u", "security_tier": "high"}

    package = twin.call(client.encrypt_payload, payload)

    assert open_with(faulty_router.private_key_pem, package) == {"model": "m"}


def test_enum_of_text_is_sent_by_its_value(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    class Keys(str, Enum):  # noqa: UP042 - StrEnum would format as its value
        MINE = "sk-1"

    chat = twin.chat(faulty_router.url, key_dir=key_directory, api_key=Keys.MINE)

    twin.call(chat.create, model="m", messages=HELLO)

    assert faulty_router.posts[0].headers["authorization"] == "Bearer sk-1"


def test_low_level_operations_make_a_whole_exchange(
    twin: Twin, faulty_router: FaultyRouter, client_key: Any, key_directory: Path
) -> None:
    client = twin.client(faulty_router.url, key_dir=key_directory)

    pem = twin.call(client.fetch_server_public_key)
    package = twin.call(client.encrypt_payload, {"model": "m", "messages": HELLO})
    answer = seal_for(client_key.public_key.pem, {"id": "answer"})
    response = twin.call(client.decrypt_response, answer, "an-id")

    assert pem == faulty_router.running.public_pem
    assert open_with(faulty_router.private_key_pem, package) == {"model": "m", "messages": HELLO}
    assert response.id == "answer"
    assert response._metadata.payload_id == "an-id"


def test_send_secure_request_returns_the_response(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = twin.client(faulty_router.url, key_dir=key_directory)
    payload_id = str(uuid.uuid4())

    response = twin.call(client.send_secure_request, {"model": "m", "messages": HELLO}, payload_id, "a-key", "standard")

    assert response._metadata.payload_id == payload_id
    assert faulty_router.posts[0].headers["authorization"] == "Bearer a-key"
    assert faulty_router.posts[0].headers["x-security-tier"] == "standard"


@pytest.mark.parametrize("missing", ["model", "messages"])
def test_incomplete_request_is_a_type_error(twin: Twin, key_directory: Path, missing: str) -> None:
    chat = twin.chat("http://127.0.0.1:9", key_dir=key_directory)
    request = {"model": "m", "messages": HELLO}
    del request[missing]

    with pytest.raises(TypeError, match=missing):
        twin.call(chat.create, request)
    with pytest.raises(TypeError, match="mapping"):
        twin.call(chat.create, [("model", "m")])


class TestChatCompletionResponse:
    def test_levels_read_as_items_and_attributes(self) -> None:
        response: Any = nomyo.ChatCompletionResponse(a=nomyo.ChatCompletionResponse(b=1))

        assert response.a.b == response["a"]["b"] == 1
        assert "a" in dir(response)

    def test_missing_optional_field_is_none_and_another_name_an_error(self) -> None:
        response: Any = nomyo.ChatCompletionResponse()

        assert response.tool_calls is None
        with pytest.raises(AttributeError, match="contents"):
            _ = response.contents
        with pytest.raises(KeyError):
            response["tool_calls"]

    def test_copies_and_pickles_keep_the_type(self) -> None:
        response = nomyo.ChatCompletionResponse(a=[nomyo.ChatCompletionResponse(b=1)])

        again = pickle.loads(pickle.dumps(response))

        assert again == response
        assert again.a[0].b == 1
        assert type(response.copy()) is nomyo.ChatCompletionResponse
        assert json.loads(json.dumps(response)) == {"a": [{"b": 1}]}

    def test_repr_shows_no_content_and_str_shows_all(self) -> None:
        response = nomyo.ChatCompletionResponse(a=[nomyo.ChatCompletionResponse(b="secret")])

        assert repr(response) == "<part of a ChatCompletionResponse; print() shows it>"
        assert str(response) == "{'a': [{'b': 'secret'}]}"
