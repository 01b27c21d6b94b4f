"""An `http_client` of the caller's, with hooks of its own; and the bounds of an answer's headers, with any client."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

import nomyo
from nomyo.serve.router.running import RunningRouter
from support.environment_proxy import proxy
from support.faults import Answer, FaultyRouter
from support.silent import serving
from support.twins import Twin

HELLO = [{"role": "user", "content": "Hello"}]


def raising(twin: Twin, *, reads: bool) -> Any:
    """Return a client of httpx whose hook raises for every status that is no success."""
    if twin.name == "sync":

        def hook(response: httpx.Response) -> None:
            if reads:
                response.read()
            response.raise_for_status()

        return httpx.Client(event_hooks={"response": [hook]})

    async def async_hook(response: httpx.Response) -> None:
        if reads:
            await response.aread()
        response.raise_for_status()

    return httpx.AsyncClient(event_hooks={"response": [async_hook]})


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "leaves"])
def test_answer_for_which_a_hook_raises_counts(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, sleeps: list[float], reads: bool
) -> None:
    answers = [Answer(429, headers={"retry-after": "3"}), Answer(401, b'{"detail": "no such key"}')]
    faulty_router.answers.extend(answers)
    own = raising(twin, reads=reads)
    chat = twin.chat(faulty_router.url, key_dir=key_directory, http_client=own)
    with pytest.raises(nomyo.AuthenticationError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)
    assert sleeps == [3.0]
    assert ("no such key" in str(raised.value)) == reads
    assert (raised.value.__cause__, raised.value.__context__) == (None, None)
    twin.call(own.close if twin.name == "sync" else own.aclose)


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (aiohttp.ServerDisconnectedError(), None, "the connection ended without a whole answer in HTTP"),
        (aiohttp.ServerTimeoutError(), None, "timed out"),
        (aiohttp.ClientOSError("of a secret"), OSError(errno.ECONNRESET, "secret"), "Connection reset by peer"),
    ],
    ids=["closed", "late", "reset"],
)
def test_failure_of_aiohttp_below_the_callers_client_is_one_of_the_network(
    key_directory: Path, error: Exception, cause: Exception | None, reason: str
) -> None:
    class OverAiohttp(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            raise error from cause

    async def main() -> None:
        async with httpx.AsyncClient(transport=OverAiohttp()) as own:
            options: dict[str, Any] = {"key_dir": key_directory, "http_client": own, "max_retries": 0}
            async with nomyo.SecureChatCompletion("https://router.test", **options) as chat:
                with pytest.raises(nomyo.APIConnectionError, match=reason) as raised:
                    await chat.create(model="m", messages=HELLO)
        assert "secret" not in str(raised.value)

    asyncio.run(main())


@pytest.mark.parametrize("scheme", ["https", "http"])
def test_proxy_of_the_callers_client_that_speaks_no_tls_is_not_taken_for_the_router(
    twin: Twin, key_directory: Path, sleeps: list[float], scheme: str
) -> None:
    def answer_in_clear(connection: socket.socket, _: threading.Event) -> None:
        connection.settimeout(10)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with serving(answer_in_clear) as port:
        own: Any = (httpx.Client if twin.name == "sync" else httpx.AsyncClient)(
            proxy=f"https://me:secret@127.0.0.1:{port}"
        )
        chat = twin.chat(f"{scheme}://router.invalid", key_dir=key_directory, http_client=own)
        with pytest.raises(nomyo.APIConnectionError) as raised:
            twin.call(chat.create, model="m", messages=HELLO)
        twin.call(own.close if twin.name == "sync" else own.aclose)
    reason = f"127.0.0.1:{port}, to which http_client connects, answered without TLS (is it http://?)"
    assert str(raised.value) == f"no answer from {scheme}://router.invalid (1 attempt): {reason}"
    assert (raised.value.no_router, sleeps) == (False, [])


@pytest.mark.parametrize("tunnels", [False, True], ids=["direct", "tunnel"])
def test_router_that_speaks_no_tls_is_told_from_the_proxy_of_the_callers_client(
    twin: Twin, router: RunningRouter, key_directory: Path, tunnels: bool
) -> None:
    with proxy() as (port, _):
        options: dict[str, Any] = {"proxy": f"http://127.0.0.1:{port}"} if tunnels else {}
        own: Any = (httpx.Client if twin.name == "sync" else httpx.AsyncClient)(**options)
        chat = twin.chat(router.url.replace("http:", "https:"), key_dir=key_directory, http_client=own)
        with pytest.raises(nomyo.APIConnectionError, match=r"^there is no router at .*: an answer without TLS"):
            twin.call(chat.create, model="m", messages=HELLO)
        twin.call(own.close if twin.name == "sync" else own.aclose)


@pytest.mark.parametrize(
    "headers",
    [{"x-one": "x" * 60_000}, {f"x-{number}": "x" * 1000 for number in range(60)}, {f"x-{n}": "y" for n in range(90)}],
    ids=["one", "large", "many"],
)
def test_headers_within_their_bounds_are_taken(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, headers: dict[str, str]
) -> None:
    faulty_router.answers.append(Answer(402, headers=headers))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    with pytest.raises(nomyo.APIError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)
    assert raised.value.status_code == 402


@pytest.mark.parametrize(
    "headers",
    [
        {"x-one": "x" * 70_000},
        {"x-one": "x" * 300_000},
        {f"x-{number}": "x" * 1000 for number in range(90)},
        {f"x-{number}": "y" for number in range(110)},
        {f"x-{number}": "y" for number in range(300)},
    ],
    ids=["one", "very long", "large", "many", "very many"],
)
def test_headers_beyond_their_bounds_are_refused_alike(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, headers: dict[str, str]
) -> None:
    faulty_router.answers.append(Answer(402, headers=headers))
    chat = twin.chat(faulty_router.url, key_dir=key_directory, max_retries=0)
    with pytest.raises(nomyo.APIConnectionError, match="more than 100 headers, or more than 65536 bytes of them"):
        twin.call(chat.create, model="m", messages=HELLO)


@pytest.mark.parametrize("at_once", [1, 100])
def test_connection_that_never_comes_back_to_the_callers_pool_is_not_waited_for_without_end(
    twin: Twin, router: RunningRouter, key_directory: Path, at_once: int
) -> None:
    limits = httpx.Limits(max_connections=1)
    own: Any = (httpx.Client if twin.name == "sync" else httpx.AsyncClient)(limits=limits)
    held = twin.call(own.send, own.build_request("GET", f"{router.url}/pki/public_key"), stream=True)
    options = {
        "key_dir": key_directory,
        "http_client": own,
        "timeout": 0.3,
        "max_connections": at_once,
        "max_retries": 0,
    }
    chat = twin.chat(router.url, **options)
    began_s = time.monotonic()
    with pytest.raises(nomyo.APIConnectionError, match=r"http_client had no free connection within 0\.6 s") as raised:
        twin.call(chat.create, model="m", messages=HELLO)
    assert 0.6 <= time.monotonic() - began_s < 5
    assert (raised.value.timed_out, raised.value.sent) == (True, False)
    twin.call(held.close if twin.name == "sync" else held.aclose)
    assert twin.call(chat.create, model="m", messages=HELLO).choices[0].message.content == "Hello"
    twin.call(own.close if twin.name == "sync" else own.aclose)
