"""Nothing waits without a bound: whichever phase of an exchange falls silent, it ends within the timeout."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import time
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import nomyo
import nomyo.batch
import nomyo.openai
from nomyo.serve.listener import Listener
from nomyo.serve.proxy import ProxyConfig, create_app
from nomyo.serve.router.running import RunningRouter
from nomyo.serve.server import BackgroundServer
from nomyo.transports import AsyncSecureTransport
from support.batch_scene import outcomes, request, write_input
from support.connections import connections_to
from support.proxied import TOKEN, chat, error_of
from support.silent import (
    AFTER,
    BEFORE_SENT,
    LARGE,
    LATEST_S,
    PHASES,
    TIMEOUT_S,
    Scene,
    lookup,
    scene_of,
    slow_reader,
    unread,
)
from support.tls import Authority
from support.twins import Twin


async def failure_of(asked: Awaitable[Any]) -> BaseException:
    """Return what a request fails with, which must come soon."""
    began = time.monotonic()
    with pytest.raises(Exception) as raised:
        await asked
    assert time.monotonic() - began < LATEST_S
    return raised.value


def test_phase_of_an_async_request_ends_in_time(phase: str, silent_scene: Scene, impatient: dict[str, Any]) -> None:
    async def ask() -> None:
        async with nomyo.SecureChatCompletion(silent_scene.url, **impatient) as chat:
            failure = await failure_of(chat.create(model="m", messages=LARGE))
            assert isinstance(failure, nomyo.APIConnectionError)
            assert (failure.timed_out, failure.sent) == (True, phase not in BEFORE_SENT)

    asyncio.run(ask())


def test_phase_that_falls_silent_is_tried_again(
    router: RunningRouter, impatient: dict[str, Any], sleeps: list[float]
) -> None:
    async def ask(scene: Scene) -> None:
        async with nomyo.SecureChatCompletion(scene.url, **{**impatient, "max_retries": 2}) as chat:
            with pytest.raises(nomyo.APIConnectionError, match=r"\(3 attempts\): timed out"):
                await chat.create(model="m", messages=LARGE)

    with unread(router.url) as scene:
        asyncio.run(ask(scene))
    assert sleeps == [1.0, 2.0]


def test_phase_of_the_sdks_request_ends_in_time(silent_scene: Scene, impatient: dict[str, Any]) -> None:
    async def ask() -> None:
        async with nomyo.openai.AsyncOpenAI(api_key="a-key", base_url=silent_scene.url, **impatient) as client:
            failure = await failure_of(client.chat.completions.create(model="m", messages=LARGE))
            assert isinstance(failure, openai.APITimeoutError)

    asyncio.run(ask())


def test_phase_of_a_transports_request_ends_within_the_time_of_the_call(
    silent_scene: Scene, impatient: dict[str, Any]
) -> None:
    async def ask() -> None:
        transport = AsyncSecureTransport(silent_scene.url, allow_http=True, key_dir=impatient["key_dir"])
        async with httpx.AsyncClient(transport=transport, timeout=60) as client:
            url, body = f"{silent_scene.url}/v1/chat/completions", {"model": "m", "messages": LARGE}
            failure = await failure_of(client.post(url, json=body, timeout=TIMEOUT_S))
            assert isinstance(failure, httpx.TimeoutException), failure

    asyncio.run(ask())


def test_phase_of_the_proxys_request_ends_in_time(silent_scene: Scene, impatient: dict[str, Any]) -> None:
    client = nomyo.SecureCompletionClient(silent_scene.url, **impatient)
    with BackgroundServer(create_app(ProxyConfig(TOKEN), client), Listener()) as server:
        began = time.monotonic()
        answer = httpx.post(
            f"{server.url}/v1/chat/completions",
            json=chat("a" * 3_000_000),
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=60,
            trust_env=False,
        )
        assert time.monotonic() - began < LATEST_S
    assert error_of(answer)[0] == 504


@pytest.mark.parametrize("phase", AFTER)
def test_phase_of_a_batchs_row_ends_in_time(silent_scene: Scene, impatient: dict[str, Any], tmp_path: Path) -> None:
    body = {"model": "m", "messages": LARGE}
    source, output = write_input(tmp_path / "in.jsonl", [request(0, body=body)]), tmp_path / "out.jsonl"
    began = time.monotonic()
    nomyo.batch.run(source, output, base_url=silent_scene.url, patience=TIMEOUT_S, **impatient)
    assert time.monotonic() - began < 2 * LATEST_S
    assert outcomes(output) == [("row-0", None, "timeout")]


def test_upload_that_is_slow_but_goes_on_ends_in_an_answer(router: RunningRouter, impatient: dict[str, Any]) -> None:
    async def ask(url: str) -> float:
        async with nomyo.SecureChatCompletion(url, **impatient) as chat:
            began = time.monotonic()
            with pytest.raises(nomyo.APIError) as raised:
                await chat.create(model="m", messages=LARGE)
            assert raised.value.status_code == 402
            return time.monotonic() - began

    with slow_reader(router.url, pause_s=0.01) as scene:
        assert asyncio.run(ask(scene.url)) > 2 * TIMEOUT_S


def test_kernel_that_does_not_bound_what_was_not_sent_is_good_enough(
    twin: Twin, router: RunningRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.socket.setsockopt

    def setsockopt(own: socket.socket, level: int, name: int, *value: Any) -> None:
        if (level, name) == (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT):
            raise OSError(errno.ENOPROTOOPT, "Protocol not available")
        real(own, level, name, *value)

    monkeypatch.setattr(socket.socket, "setsockopt", setsockopt)
    chat = twin.chat(router.url, key_dir=key_directory)
    assert twin.call(chat.create, model="m", messages=[{"role": "user", "content": "Hello"}])


def test_wait_for_the_routers_key_has_its_bound_however_many_wait(impatient: dict[str, Any]) -> None:
    async def ask(url: str) -> float:
        async with nomyo.SecureChatCompletion(url, **{**impatient, "max_retries": 1}) as chat:
            began = time.monotonic()
            hello: list[Any] = [{"role": "user", "content": "Hello"}]
            asked = (chat.create(model="m", messages=hello) for _ in range(40))
            for failure in await asyncio.gather(*asked, return_exceptions=True):
                assert isinstance(failure, nomyo.APIConnectionError)
                assert failure.timed_out
            return time.monotonic() - began

    with PHASES["tls"]("") as scene:  # silent for plain HTTP as well
        # Two waits for others' fetches, then two attempts of its own with a second between them.
        assert asyncio.run(ask(scene.url.replace("https", "http"))) < 4 * TIMEOUT_S + 1 + LATEST_S


@pytest.fixture(params=["plain", "tls"])
def deaf(
    request: pytest.FixtureRequest, router: RunningRouter, tls_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Scene]:
    """A router that reads no body."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_authority.certificate, tls_authority.key)
    with unread(router.url, context if request.param == "tls" else None) as scene:
        yield scene


@pytest.mark.parametrize("how", ["timeout", "cancel", "close"])
def test_upload_that_was_given_up_leaves_no_connection(deaf: Scene, impatient: dict[str, Any], how: str) -> None:
    async def ask(url: str) -> None:
        chat = nomyo.SecureChatCompletion(url, **{**impatient, "timeout": TIMEOUT_S if how == "timeout" else 30})
        asked = asyncio.create_task(chat.create(model="m", messages=LARGE))
        await asyncio.sleep(1.0)
        if how == "cancel":
            asked.cancel()
        if how == "close":
            await asyncio.wait_for(chat.aclose(), LATEST_S)
        with pytest.raises((nomyo.NomyoError, asyncio.CancelledError)):
            await asked
        await asyncio.sleep(0.05)
        # Of a client that lives on, the connection that brought the router's key remains.
        assert connections_to(url) <= (how != "close")
        await chat.aclose()
        assert connections_to(url) == 0

    asyncio.run(ask(deaf.url))


def test_lookup_is_not_waited_for_when_the_loop_ends(impatient: dict[str, Any]) -> None:
    async def ask(url: str) -> None:
        async with nomyo.SecureChatCompletion(url, **impatient) as chat:
            with pytest.raises(nomyo.APIConnectionError, match="timed out"):
                await chat.create(model="m", messages=[{"role": "user", "content": "Hello"}])

    with lookup("") as scene:
        began = time.monotonic()
        asyncio.run(ask(scene.url))
        assert time.monotonic() - began < LATEST_S


def test_answer_before_the_end_of_an_upload_counts(router: RunningRouter, impatient: dict[str, Any]) -> None:
    def answer(talk: socket.socket, _: Any) -> None:
        talk.sendall(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")

    async def ask(url: str) -> None:
        async with nomyo.SecureChatCompletion(url, **impatient) as chat:
            failure = await failure_of(chat.create(model="m", messages=LARGE))
            assert isinstance(failure, nomyo.APIError)
            assert failure.status_code == 413

    with scene_of(router.url, answer, reads=False) as scene:
        asyncio.run(ask(scene.url))
