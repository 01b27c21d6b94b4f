"""An answer that comes drop by drop ends for whoever asked: the SDK, transports, the proxy's caller, a batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
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
from nomyo.transports import AsyncSecureTransport, SecureTransport
from support.batch_scene import outcomes, request, write_input
from support.drips import DRIPS, LATEST_S, Drip, dripping_completions, dripping_key, failure_of
from support.proxied import TOKEN, chat, error_of

TIMEOUT_S = 0.4
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
CHOSEN = ["header value", "100", "chunk extension", "trailers"]
Options = dict[str, Any]


def sdk(url: str, options: Options) -> BaseException:
    with nomyo.openai.OpenAI(api_key="a-key", base_url=url, **options) as client:
        return failure_of(lambda: client.chat.completions.create(model="m", messages=HELLO))


def async_sdk(url: str, options: Options) -> BaseException:
    async def ask() -> None:
        async with nomyo.openai.AsyncOpenAI(api_key="a-key", base_url=url, **options) as client:
            await client.chat.completions.create(model="m", messages=HELLO)

    return failure_of(lambda: asyncio.run(ask()))


def transport(url: str, options: Options) -> BaseException:
    made = SecureTransport(url, allow_http=True, key_dir=options["key_dir"])
    body = {"model": "m", "messages": HELLO}
    with httpx.Client(transport=made, timeout=TIMEOUT_S) as client:
        return failure_of(lambda: client.post(f"{url}/v1/chat/completions", json=body))


def async_transport(url: str, options: Options) -> BaseException:
    async def ask() -> None:
        made = AsyncSecureTransport(url, allow_http=True, key_dir=options["key_dir"])
        async with httpx.AsyncClient(transport=made, timeout=TIMEOUT_S) as client:
            await client.post(f"{url}/v1/chat/completions", json={"model": "m", "messages": HELLO})

    return failure_of(lambda: asyncio.run(ask()))


CALLERS: dict[str, Callable[[str, Options], BaseException]] = {
    "sdk": sdk,
    "async sdk": async_sdk,
    "transport": transport,
    "async transport": async_transport,
}


@pytest.fixture(params=CHOSEN)
def drip(request: pytest.FixtureRequest) -> Drip:
    return DRIPS[request.param]


@pytest.fixture(params=["completion", "key"])
def dripping_url(request: pytest.FixtureRequest, drip: Drip, router: RunningRouter) -> Iterator[str]:
    if request.param == "key":
        with dripping_key(drip) as url:
            yield url
        return
    with dripping_completions(router.url, drip) as scene:
        yield scene.url


@pytest.fixture
def options(key_directory: Path) -> Options:
    return {"allow_http": True, "key_dir": key_directory, "timeout": TIMEOUT_S, "max_retries": 0}


@pytest.mark.parametrize("caller", CALLERS)
def test_drip_ends_for_those_who_bring_openais_form(dripping_url: str, caller: str, options: Options) -> None:
    failure = CALLERS[caller](dripping_url, options)
    assert isinstance(failure, (openai.APITimeoutError, httpx.TimeoutException)), failure


def test_drip_ends_for_the_proxys_caller(dripping_url: str, options: Options) -> None:
    client = nomyo.SecureCompletionClient(dripping_url, **options)
    with BackgroundServer(create_app(ProxyConfig(TOKEN), client), Listener()) as server:
        headers = {"authorization": f"Bearer {TOKEN}"}
        began_s = time.monotonic()
        url = f"{server.url}/v1/chat/completions"
        answer = httpx.post(url, json=chat("Hello"), headers=headers, timeout=60, trust_env=False)
        assert time.monotonic() - began_s < LATEST_S
    assert error_of(answer)[0] == 504


def test_drip_ends_for_a_row_of_a_batch(drip: Drip, router: RunningRouter, options: Options, tmp_path: Path) -> None:
    source, output = write_input(tmp_path / "in.jsonl", [request(0)]), tmp_path / "out.jsonl"
    with dripping_completions(router.url, drip) as scene:
        began_s = time.monotonic()
        nomyo.batch.run(source, output, base_url=scene.url, patience=TIMEOUT_S, **options)
        assert time.monotonic() - began_s < LATEST_S
    assert outcomes(output) == [("row-0", None, "timeout")]


@pytest.mark.parametrize("library", [SecureTransport, AsyncSecureTransport])
def test_time_for_connecting_is_not_left_to_headers_that_drip(library: Any, drip: Drip, options: Options) -> None:
    timeout = httpx.Timeout(connect=30.0, read=TIMEOUT_S, write=TIMEOUT_S, pool=TIMEOUT_S)

    def ask(url: str) -> None:
        body = {"model": "m", "messages": HELLO}
        transport = library(url, allow_http=True, key_dir=options["key_dir"])
        if library is SecureTransport:
            with httpx.Client(transport=transport, timeout=timeout) as client:
                client.post(f"{url}/v1/chat/completions", json=body)
            return

        async def post() -> None:
            async with httpx.AsyncClient(transport=transport, timeout=timeout) as client:
                await client.post(f"{url}/v1/chat/completions", json=body)

        asyncio.run(post())

    with dripping_key(drip) as url:
        failure = failure_of(lambda: ask(url))
    assert isinstance(failure, httpx.TimeoutException), failure
