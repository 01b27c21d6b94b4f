"""`attestation="require"`: no way to an answer hands out the content of one whose verdict is worse."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import httpx
import openai
import pytest

import nomyo
import nomyo.anthropic
import nomyo.batch
import nomyo.openai
from nomyo import AttestationError
from nomyo.serve.proxy import ProxyConfig, create_app
from nomyo.transports import AsyncSecureTransport, SecureTransport
from support.by_hand import Owner
from support.soft_tpm import PCRS
from support.twins import Twin

CONTENT = "the canary of the prompt, which the echo model answers with"
MESSAGES: list[Any] = [{"role": "user", "content": CONTENT}]
BODY: dict[str, Any] = {"model": "echo", "messages": MESSAGES}
REQUIRED: dict[str, Any] = {"attestation": "require", "attestation_policy": {"pcrs": {"sha256": {"0": "ee" * 32}}}}
PAYLOAD_ID = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def options(attesting_url: str, key_directory: Path) -> dict[str, Any]:
    """The options of a client that requires other values than its router shows."""
    return {"base_url": attesting_url, "allow_http": True, "key_dir": key_directory, "api_key": "", **REQUIRED}


@contextmanager
def refused(kind: type[Exception] = AttestationError) -> Iterator[None]:
    """Expect the block to end with an error in which nothing of the answer stands."""
    with pytest.raises(kind) as caught:
        yield
    assert "at least 'as-pinned' is required" in str(caught.value)
    assert CONTENT not in str(caught.value) + repr(caught.value)


def test_single_operations_hand_nothing_out(twin: Twin, attesting_url: str, key_directory: Path) -> None:
    client = twin.client(attesting_url, key_dir=key_directory, **REQUIRED)

    with refused():
        twin.call(client.send_secure_request, BODY, PAYLOAD_ID)
    with refused():
        twin.call(client.send_secure_request, BODY, PAYLOAD_ID, None, "high")
    answer = {"choices": [{"message": {"content": CONTENT}}], "_metadata": {"attestation": {"verdict": "endorsed"}}}
    package = Owner(client._exchange._keys._pair.private_key).seal(json.dumps(answer).encode())
    with refused():
        twin.call(client.decrypt_response, package, PAYLOAD_ID)


def test_temporary_client_for_another_address_hands_nothing_out(
    twin: Twin, attesting_url: str, key_directory: Path
) -> None:
    chat = twin.chat("http://127.0.0.1:9", key_dir=key_directory, **REQUIRED)

    for method in (chat.create, chat.create_secure):
        with refused():
            twin.call(method, BODY, base_url=attesting_url)


def test_many_requests_end_with_an_error_each(options: dict[str, Any]) -> None:
    async def results() -> list[nomyo.Result]:
        async with nomyo.SecureChatCompletion(**options) as chat:
            return [result async for result in chat.create_many([BODY] * 3)]

    with nomyo.SyncSecureChatCompletion(**options) as chat:
        found = [*chat.create_many([BODY] * 3), *asyncio.run(results())]
    assert [result.response for result in found] == [None] * 6
    assert {type(result.error) for result in found} == {AttestationError}
    assert CONTENT not in repr(found)


@pytest.mark.parametrize("stream", [False, True])
def test_openais_sdk_hands_nothing_out(options: dict[str, Any], stream: bool) -> None:
    with nomyo.openai.OpenAI(max_retries=0, **options) as client:
        for each in (client, client.with_options(timeout=30), client.copy()):
            with refused(openai.OpenAIError):
                each.chat.completions.create(**BODY, stream=stream)
            with refused(openai.OpenAIError):
                each.responses.create(model="echo", input=CONTENT, stream=stream)
        with refused(openai.OpenAIError):
            client.chat.completions.with_raw_response.create(**BODY, stream=stream)


def test_openais_sdk_with_an_event_loop_hands_nothing_out(options: dict[str, Any]) -> None:
    async def ask() -> None:
        async with nomyo.openai.AsyncOpenAI(max_retries=0, **options) as client:
            await client.chat.completions.create(**BODY)

    with refused(openai.OpenAIError):
        asyncio.run(ask())


@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_sdk_hands_nothing_out(options: dict[str, Any], stream: bool) -> None:
    with nomyo.anthropic.Anthropic(max_retries=0, **options) as client:
        for each in (client, client.with_options(timeout=30)):
            with refused(anthropic.AnthropicError):
                each.messages.create(**BODY, max_tokens=9, stream=stream)


def test_transports_hand_nothing_out(options: dict[str, Any]) -> None:
    url = f"{options['base_url']}/v1/chat/completions"

    async def ask() -> None:
        async with httpx.AsyncClient(transport=AsyncSecureTransport(**options)) as client:
            await client.post(url, json=BODY)

    with refused():
        asyncio.run(ask())
    with httpx.Client(transport=SecureTransport(**options)) as client:
        for stream in (False, True):
            with refused():
                client.post(url, json=BODY | {"stream": stream})


FORMS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": BODY,
    "/v1/responses": {"model": "echo", "input": CONTENT},
    "/v1/messages": {**BODY, "max_tokens": 9},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", FORMS)
def test_proxy_hands_nothing_out_in_any_form(attesting_url: str, key_directory: Path, path: str, stream: bool) -> None:
    async def ask() -> httpx.Response:
        async with nomyo.SecureCompletionClient(attesting_url, True, key_dir=key_directory, **REQUIRED) as client:
            app = httpx.ASGITransport(create_app(ProxyConfig(token=None), client))
            async with httpx.AsyncClient(transport=app, base_url="http://127.0.0.1:8800") as caller:
                return await caller.post(path, json={**FORMS[path], "stream": stream})

    answer = asyncio.run(ask())
    assert answer.status_code == 502
    assert "at least 'as-pinned' is required" in answer.text
    assert CONTENT not in answer.text


def test_batch_stops_each_time_it_is_started(options: dict[str, Any], tmp_path: Path) -> None:
    row = {"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": BODY}
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(row) + "\n")

    for _ in range(2):
        with refused(nomyo.BatchError):
            nomyo.batch.run(source, output, **options)
    assert not output.exists() or CONTENT not in output.read_text()
    nomyo.batch.run(source, output, **options | {"attestation_policy": {"pcrs": PCRS}})
    assert CONTENT in output.read_text()
