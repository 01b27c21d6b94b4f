"""The examples of the JavaScript client's documents, as they stand, in Python: they run against a real router."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from nomyo import (
    DisposedError,
    SecureByteContext,
    SecureChatCompletion,
    SecureCompletionClient,
    disableSecureMemory,
    enableSecureMemory,
    getMemoryProtectionInfo,
)
from nomyo.serve.router.running import RunningRouter
from support.documented import MODEL
from support.faults import FaultyRouter
from support.peer import open_with
from support.weather_tool import WEATHER

pytestmark = pytest.mark.usefixtures("service")


async def simple_chat_completion() -> None:
    client = SecureChatCompletion(api_key=os.environ["NOMYO_API_KEY"])

    response = await client.create(
        {
            "model": "Qwen/Qwen3-0.6B",
            "messages": [{"role": "user", "content": "Hello! How are you today?"}],
            "temperature": 0.7,
        }
    )

    reply = response.choices[0].message.content
    print(reply)
    await client.aclose()


async def with_a_system_message() -> None:
    async with SecureChatCompletion(api_key=os.environ["NOMYO_API_KEY"]) as client:
        response = await client.create(
            {
                "model": "Qwen/Qwen3-0.6B",
                "messages": [
                    {"role": "system", "content": "You are a helpful assistant."},
                    {"role": "user", "content": "What is the capital of France?"},
                ],
                "temperature": 0.7,
            }
        )
        print(response.choices[0].message.content)


async def acreate_alias() -> None:
    async with SecureChatCompletion(api_key=os.environ["NOMYO_API_KEY"]) as client:
        response = await client.acreate(
            {"model": "Qwen/Qwen3-0.6B", "messages": [{"role": "user", "content": "Hello!"}]}
        )
        print(response.choices[0].message.content)


async def resource_management() -> None:
    client = SecureChatCompletion(api_key=os.environ["NOMYO_API_KEY"])
    try:
        response = await client.create(
            {"model": "Qwen/Qwen3-0.6B", "messages": [{"role": "user", "content": "Hello!"}]}
        )
        print(response.choices[0].message.content)
    finally:
        client.dispose()
    try:
        await client.create({"model": "Qwen/Qwen3-0.6B", "messages": [{"role": "user", "content": "Hello!"}]})
    except DisposedError as error:
        print(error.message)


async def browser_usage() -> None:
    client = SecureChatCompletion(base_url=os.environ["NOMYO_BASE_URL"], api_key="a-key", key_dir=None)

    response = await client.create(
        {"model": "Qwen/Qwen3-0.6B", "messages": [{"role": "user", "content": "Hello from the browser!"}]}
    )

    print(response.choices[0].message.content)
    client.dispose()


@pytest.mark.parametrize(
    ("example", "printed"),
    [
        (simple_chat_completion, "Hello! How are you today?\n"),
        (with_a_system_message, "What is the capital of France?\n"),
        (acreate_alias, "Hello!\n"),
        (resource_management, "Hello!\nthe client was disposed of\n"),
        (browser_usage, "Hello from the browser!\n"),
    ],
)
def test_example_prints_what_the_page_says(example: Any, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(example())

    assert capsys.readouterr().out == printed


def test_key_of_one_request_takes_precedence_over_the_client_s(service: FaultyRouter) -> None:
    async def example() -> None:
        client = SecureChatCompletion(api_key=os.environ["NOMYO_API_KEY"])
        await client.create(
            {
                "model": "Qwen/Qwen3-0.6B",
                "messages": [{"role": "user", "content": "Hello!"}],
                "api_key": "another-key",
            }
        )
        await client.create({"model": "Qwen/Qwen3-0.6B", "messages": [{"role": "user", "content": "Hello!"}]})
        await client.aclose()

    asyncio.run(example())

    assert [post.headers["authorization"] for post in service.posts] == ["Bearer another-key", "Bearer a-key"]
    assert all("api_key" not in open_with(service.private_key_pem, post.body) for post in service.posts)


def test_each_security_tier_is_named_to_the_router_and_in_the_answer(service: FaultyRouter) -> None:
    async def example() -> list[Any]:
        async with SecureChatCompletion(api_key=os.environ["NOMYO_API_KEY"]) as client:
            response = await client.create(
                {
                    "model": "Qwen/Qwen3-0.6B",
                    "messages": [{"role": "user", "content": "General query"}],
                    "security_tier": "standard",
                }
            )
            response2 = await client.create(
                {
                    "model": "Qwen/Qwen3-0.6B",
                    "messages": [{"role": "user", "content": "Summarise this contract clause..."}],
                    "security_tier": "high",
                }
            )
            response3 = await client.create(
                {
                    "model": "Qwen/Qwen3-0.6B",
                    "messages": [{"role": "user", "content": "Patient record summary..."}],
                    "security_tier": "maximum",
                }
            )
            return [response, response2, response3]

    responses = asyncio.run(example())

    assert [post.headers["x-security-tier"] for post in service.posts] == ["standard", "high", "maximum"]
    assert [response["_metadata"]["security_tier"] for response in responses] == ["standard", "high", "maximum"]


def test_tool_that_the_model_called_is_read_from_the_message(capsys: pytest.CaptureFixture[str]) -> None:
    async def example(question: str, tool_choice: str) -> None:
        client = SecureChatCompletion(api_key=os.environ["NOMYO_API_KEY"])
        response = await client.create(
            {
                "model": "Qwen/Qwen3-0.6B",
                "messages": [{"role": "user", "content": question}],
                "tools": [WEATHER],
                "tool_choice": tool_choice,
                "temperature": 0.7,
            }
        )
        message = response.choices[0].message
        if message.tool_calls:
            call = message.tool_calls[0]
            print("Tool called:", call.function.name)
            print("Arguments:", call.function.arguments)
        await client.aclose()

    asyncio.run(example("What's the weather in Paris?", "auto"))
    asyncio.run(example("What's the weather in Paris?", "none"))

    assert capsys.readouterr().out == ('Tool called: get_weather\nArguments: {"location": "Paris"}\n')


def test_local_router_over_plain_http_is_warned_of(router: RunningRouter) -> None:
    async def example() -> str:
        with pytest.warns(UserWarning, match="plain HTTP"):
            client = SecureChatCompletion(
                base_url=router.url,
                allow_http=True,
            )
        response = await client.create({"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}]})
        client.dispose()
        return str(response.choices[0].message.content)

    assert asyncio.run(example()) == "Hello!"


def test_keys_are_generated_with_the_documented_options() -> None:
    async def example() -> None:
        client = SecureCompletionClient(key_dir=None)
        await client.generate_keys(key_size=2048, save_to_file=True, key_dir="client_keys", password="your-password")
        await client.load_keys("client_keys/private_key.pem", "client_keys/public_key.pem", "your-password")
        await client.load_keys("client_keys/private_key.pem", password="your-password")
        await client.aclose()

    asyncio.run(example())

    assert Path("client_keys/private_key.pem").read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")


def test_single_operations_make_one_request() -> None:
    async def example() -> Any:
        async with SecureCompletionClient(api_key=os.environ["NOMYO_API_KEY"]) as client:
            payload = {"model": MODEL, "messages": [{"role": "user", "content": "Hello!"}]}
            pem = await client.fetch_server_public_key()
            encrypted = await client.encrypt_payload(payload)
            answer = await client.send_secure_request(payload, "8c8e4a5e-52a5-4a3c-8ab6-0b1c9fa5d2c4")
            return pem, encrypted, answer

    pem, encrypted, answer = asyncio.run(example())

    assert pem.startswith("-----BEGIN PUBLIC KEY-----")
    assert isinstance(encrypted, bytes)
    assert answer.choices[0].message.content == "Hello!"


def test_memory_protection_is_read_by_its_documented_names() -> None:
    info = getMemoryProtectionInfo()

    assert isinstance(info["canLock"], bool)
    assert isinstance(info.is_platform_secure, bool)
    assert info.method in ("mlock", "zero-only", "none")
    assert info.details is None or isinstance(info.details, str)


def test_sensitive_buffer_is_zeroed_whatever_the_function_did() -> None:
    async def do_something_with(data: Any) -> int:
        return len(bytes(data))

    async def fail(data: Any) -> None:
        raise RuntimeError(len(bytes(data)))

    async def example(function: Any) -> tuple[bytearray, Any]:
        sensitive_buffer = bytearray(b"a secret")
        context = SecureByteContext(sensitive_buffer)
        try:
            result = await context.use(function)
        except RuntimeError as error:
            result = error.args[0]
        return sensitive_buffer, result

    for function in (do_something_with, fail):
        assert asyncio.run(example(function)) == (bytearray(8), 8)


def test_secure_memory_is_disabled_and_enabled_globally() -> None:
    disableSecureMemory()
    try:
        buffer = bytearray(b"a secret")
        with SecureByteContext(buffer):
            pass
        assert buffer == b"a secret"
    finally:
        enableSecureMemory()
    with SecureByteContext(buffer):
        pass
    assert buffer == bytearray(8)
