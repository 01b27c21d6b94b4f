"""What a timeout says, what a whole request may take, and the defaults that a slow model survives."""

from __future__ import annotations

import asyncio
import inspect
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer

import nomyo
import nomyo.openai
from nomyo.batch.client_options import as_of_client
from nomyo.cli.batch.command import app as batch_app
from nomyo.cli.chat.command import app as chat_app
from nomyo.cli.proxy import app as proxy_app
from nomyo.exchange.effects import Timeouts
from nomyo.exchange.settings import Settings
from nomyo.serve.router.running import RunningRouter
from nomyo.transports import AsyncSecureTransport, SecureTransport
from support.process import output_of
from support.proxied import chat, proxy_process
from support.silent import PHASES, Scene
from support.twins import Twin

MESSAGES = [{"role": "user", "content": "a" * 3_000_000}]
ADVICE = "(raise timeout=, or --timeout of a command, to wait longer)"
MISSING = {
    "lookup": "no connection",
    "connect": "no connection",
    "proxy": "no connection",
    "tls": "no connection",
    "upload": "the request was not taken",
    "first byte": "no whole answer",
    "head": "no whole answer",
    "data": "no whole answer",
    "body": "no whole answer",
}


def test_every_phase_is_named_here() -> None:
    assert MISSING.keys() == {phase.lower() for phase in PHASES}


@pytest.mark.parametrize("phase", PHASES)
def test_timeout_says_what_was_waited_for_how_long_and_what_to_raise(
    phase: str, router: RunningRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(scene: Scene) -> None:
        options: dict[str, Any] = {"key_dir": key_directory, "timeout": 0.3, "max_retries": 0}
        async with nomyo.SecureChatCompletion(scene.url, True, **options) as chat:
            with pytest.raises(nomyo.APIConnectionError) as raised:
                await chat.create(model="m", messages=MESSAGES)
            assert str(raised.value).endswith(f"(1 attempt): timed out: {MISSING[phase.lower()]} within 0.3 s {ADVICE}")

    with PHASES[phase](router.url) as scene:
        for name, value in scene.environment.items():
            monkeypatch.setenv(name, value)
        asyncio.run(ask(scene))


@pytest.mark.parametrize("phase", ["connect", "upload", "first byte", "body"])
def test_sync_client_says_the_same(phase: str, router: RunningRouter, key_directory: Path) -> None:
    options: dict[str, Any] = {"key_dir": key_directory, "timeout": 0.3, "max_retries": 0}
    with (
        PHASES[phase](router.url) as scene,
        nomyo.SyncSecureChatCompletion(scene.url, True, **options) as chat,
        pytest.raises(nomyo.APIConnectionError) as raised,
    ):
        chat.create(model="m", messages=MESSAGES)
    assert str(raised.value).endswith(f"(1 attempt): timed out: {MISSING[phase]} within 0.3 s {ADVICE}")


def test_whole_request_takes_no_longer_than_its_attempts_and_their_waits(
    twin: Twin, router: RunningRouter, key_directory: Path, sleeps: list[float]
) -> None:
    options: dict[str, Any] = {"key_dir": key_directory, "timeout": 0.3, "max_retries": 2}
    with PHASES["first byte"](router.url) as scene:
        chat = twin.chat(scene.url, **options)
        began = time.monotonic()
        with pytest.raises(nomyo.APIConnectionError, match=r"\(3 attempts\): timed out: no whole answer within 0.3 s"):
            twin.call(chat.create, model="m", messages=MESSAGES)
    assert 3 * 0.3 <= time.monotonic() - began < 3 * 0.3 + 5
    assert sleeps == [1.0, 2.0]


def test_proxy_says_which_option_to_raise(router: RunningRouter, key_directory: Path) -> None:
    with PHASES["first byte"](router.url) as scene:
        options = ["--timeout", "0.3", "--max-retries", "0"]
        with proxy_process(scene.url, key_directory, *options) as proxy:
            error = proxy.post(chat()).json()["error"]
    assert error["code"] == "router_timeout"
    assert "no whole answer within 0.3 s" in error["message"]
    assert "--timeout" in error["message"]


class _Noting(httpx.BaseTransport, httpx.AsyncBaseTransport):
    """Notes what requests may take, and answers none."""

    def __init__(self) -> None:
        self.timeouts: list[dict[str, float]] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.timeouts.append(request.extensions["timeout"])
        return httpx.Response(403)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return self.handle_request(request)


def test_long_timeout_is_for_answers_alone(twin: Twin, key_directory: Path) -> None:
    """A host that takes no connection, or gives no key, is away, however long models take here."""
    noting = _Noting()
    given: Any = {"sync": httpx.Client, "async": httpx.AsyncClient}[twin.name](transport=noting)
    client = twin.chat("http://127.0.0.1:9", key_dir=key_directory, timeout=900.0, http_client=given)

    with pytest.raises(nomyo.ForbiddenError):
        twin.call(client.create, model="m", messages=[{"role": "user", "content": "a"}])

    assert noting.timeouts == [{"connect": 60.0, "read": 60.0, "write": 60.0, "pool": 120.0}]
    assert Settings(timeout=900.0).timeouts == Timeouts(connect_s=60.0, read_s=900.0, write_s=900.0)
    twin.call(given.close if twin.name == "sync" else given.aclose)


@pytest.mark.parametrize(
    "client_class",
    [
        nomyo.SecureChatCompletion,
        nomyo.SyncSecureChatCompletion,
        nomyo.SecureCompletionClient,
        nomyo.SyncSecureCompletionClient,
    ],
)
def test_native_clients_keep_the_published_default(client_class: type[Any]) -> None:
    parameters = inspect.signature(client_class).parameters
    assert (parameters["timeout"].default, parameters["max_retries"].default) == (60.0, 2)


@pytest.mark.parametrize("transport_class", [SecureTransport, AsyncSecureTransport])
def test_transports_wait_for_a_slow_model(transport_class: type[Any]) -> None:
    assert inspect.signature(transport_class).parameters["timeout"].default == 600.0


@pytest.mark.parametrize("app", [chat_app, batch_app, proxy_app], ids=["chat", "batch", "proxy"])
def test_commands_wait_for_a_slow_model(app: Any) -> None:
    (timeout,) = (option for option in typer.main.get_command(app).params if option.name == "timeout")
    assert timeout.default == 600.0


def test_batch_of_a_program_waits_for_a_slow_model() -> None:
    assert as_of_client({})["timeout"] == 600.0
    assert as_of_client({"timeout": 7.0})["timeout"] == 7.0


@pytest.mark.parametrize("name", ["OpenAI", "AsyncOpenAI"])
def test_sdk_waits_for_a_slow_model(name: str) -> None:
    program = f"""
import nomyo.openai
client = nomyo.openai.{name}(api_key="a", key_dir=None)
print(client.timeout.read)
"""
    assert output_of(program) == "600\n"
