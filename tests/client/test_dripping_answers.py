"""An answer that comes drop by drop ends with the timeout, whichever part of it drips and whoever asked."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import nomyo
from nomyo.serve.router.running import RunningRouter
from support.drips import DRIPS, dripping_completions, dripping_key, failure_of
from support.silent import scene_of
from support.tls import Authority
from support.twins import Twin

TIMEOUT_S = 0.4
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


@pytest.fixture(params=DRIPS)
def drip(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def options(key_directory: Path) -> dict[str, Any]:
    return {"allow_http": True, "key_dir": key_directory, "timeout": TIMEOUT_S, "max_retries": 0}


@pytest.fixture
def tls_context(tls_authority: Authority, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_authority.certificate, tls_authority.key)
    return context


@pytest.fixture
def given(twin: Twin, tls_authority: Authority) -> Iterator[Any]:
    trusting = ssl.create_default_context(cafile=str(tls_authority.ca))
    own: Any = (httpx.Client if twin.name == "sync" else httpx.AsyncClient)(verify=trusting)
    yield own
    twin.call(own.close if twin.name == "sync" else own.aclose)


def check_timed_out(failure: BaseException, drip: str, *, sent: bool) -> None:
    assert isinstance(failure, nomyo.APIConnectionError), failure
    is_refused = drip == "empty lines" and not failure.timed_out  # h11 takes the first for an answer that is none
    assert failure.timed_out or is_refused, failure
    assert failure.sent == sent, failure


def test_drip_ends_with_the_timeout_of_a_completion(
    twin: Twin, drip: str, router: RunningRouter, options: dict[str, Any]
) -> None:
    with dripping_completions(router.url, DRIPS[drip]) as scene:
        chat = twin.chat(scene.url, **options)
        check_timed_out(failure_of(lambda: twin.call(chat.create, model="m", messages=HELLO)), drip, sent=True)


def test_drip_ends_with_the_timeout_of_the_question_for_the_routers_key(
    twin: Twin, drip: str, options: dict[str, Any]
) -> None:
    with dripping_key(DRIPS[drip]) as url:
        client = twin.client(url, **options)
        check_timed_out(failure_of(lambda: twin.call(client.fetch_server_public_key)), drip, sent=False)


def test_drip_ends_with_the_timeout_through_a_client_of_the_callers(
    twin: Twin, drip: str, router: RunningRouter, options: dict[str, Any], given: Any
) -> None:
    with dripping_completions(router.url, DRIPS[drip]) as scene:
        chat = twin.chat(scene.url, http_client=given, **options)
        check_timed_out(failure_of(lambda: twin.call(chat.create, model="m", messages=HELLO)), drip, sent=True)


@pytest.mark.parametrize("drip", ["header value", "103", "chunk extension", "trailers"])
def test_drip_over_tls_ends_with_the_timeout(
    twin: Twin, drip: str, router: RunningRouter, options: dict[str, Any], tls_context: ssl.SSLContext, given: Any
) -> None:
    with dripping_completions(router.url, DRIPS[drip], tls_context) as scene:
        for client in (None, given):
            chat = twin.chat(scene.url, http_client=client, **options)
            check_timed_out(failure_of(lambda: twin.call(chat.create, model="m", messages=HELLO)), drip, sent=True)  # noqa: B023


@pytest.mark.parametrize("drip", ["header value", "103", "trailers"])
def test_connection_of_a_callers_client_is_whole_after_a_drip_on_another(
    twin: Twin, drip: str, router: RunningRouter, options: dict[str, Any], given: Any
) -> None:
    """The deadline ends the connection that drips, and none that the client's pool gives to others."""
    chat = twin.chat(router.url, http_client=given, **{**options, "timeout": 30})
    assert twin.call(chat.create, model="m", messages=HELLO).choices[0].message.content == "Hello"
    with dripping_completions(router.url, DRIPS[drip]) as scene:
        dripped = twin.chat(scene.url, http_client=given, **options)
        check_timed_out(failure_of(lambda: twin.call(dripped.create, model="m", messages=HELLO)), drip, sent=True)
    assert twin.call(chat.create, model="m", messages=HELLO).choices[0].message.content == "Hello"


def test_every_attempt_has_its_deadline_and_their_number_its_bound(
    twin: Twin, router: RunningRouter, options: dict[str, Any], sleeps: list[float]
) -> None:
    with dripping_completions(router.url, DRIPS["100"]) as scene:
        chat = twin.chat(scene.url, **{**options, "max_retries": 2})
        failure = failure_of(lambda: twin.call(chat.create, model="m", messages=HELLO))
    assert "(3 attempts): timed out: no whole answer within 0.4 s" in str(failure)
    assert sleeps == [1.0, 2.0]


class _ToldNothing(httpx.AsyncBaseTransport):
    """A transport of another library, which tells nothing of its steps."""

    def __init__(self) -> None:
        self._inner = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions = {name: value for name, value in request.extensions.items() if name != "trace"}
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.mark.parametrize("drip", ["header value", "103", "chunk extension", "trailers"])
def test_drip_ends_in_an_event_loop_through_a_transport_of_another_library(
    drip: str, router: RunningRouter, options: dict[str, Any]
) -> None:
    async def ask(url: str) -> None:
        async with httpx.AsyncClient(transport=_ToldNothing()) as own:
            await nomyo.SecureChatCompletion(url, http_client=own, **options).create(model="m", messages=HELLO)

    with dripping_completions(router.url, DRIPS[drip]) as scene:
        check_timed_out(failure_of(lambda: asyncio.run(ask(scene.url))), drip, sent=True)


@pytest.mark.slow("an answer that comes byte by byte, twice")
def test_answer_within_its_time_is_whole_however_many_pieces_it_comes_in(
    twin: Twin, router: RunningRouter, key_directory: Path, given: Any
) -> None:
    """Headers and body each have the timeout: together they may take longer."""
    said = b'{"detail": "Payment Required"}'

    def answer(connection: socket.socket, left: threading.Event) -> None:
        whole = b"HTTP/1.1 402 Payment Required\r\nContent-Length: %d\r\n\r\n" % len(said) + said
        for byte in whole:
            left.wait(0.03)
            connection.sendall(bytes([byte]))

    with scene_of(router.url, answer) as scene:
        for client in (None, given):
            chat = twin.chat(scene.url, key_dir=key_directory, http_client=client, timeout=20.0, max_retries=0)
            with pytest.raises(nomyo.APIError, match="Payment Required") as raised:
                twin.call(chat.create, model="m", messages=HELLO)
            assert raised.value.status_code == 402
