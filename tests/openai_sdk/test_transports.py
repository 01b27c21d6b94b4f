"""The transports in front of which any HTTP client may stand: httpx, httpx2, and the OpenAI SDK around one of them."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

import nomyo
from nomyo.serve.router.running import RunningRouter
from nomyo.transports import AsyncSecureTransport, SecureTransport
from nomyo.transports.request import SealedRequest
from support.faults import Answer, FaultyRouter
from support.our_frames import our_frames
from support.process import output_of
from support.tap import Tap

PROMPT = "canary-prompt-b41e"
PAYLOAD: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": PROMPT}]}
LIBRARIES = [name for name in ("httpx", "httpx2") if find_spec(name)]


class Side:
    """An HTTP client of one library, sync or async, around a transport."""

    def __init__(self, library: str, kind: str) -> None:
        self.library = import_module(library)
        self.kind = kind
        self._runner = asyncio.Runner()
        self._made: list[Any] = []

    def client(self, url: str, *, http: dict[str, Any] | None = None, **options: Any) -> Any:
        transport_class, client_class = {
            "sync": (SecureTransport, self.library.Client),
            "async": (AsyncSecureTransport, self.library.AsyncClient),
        }[self.kind]
        transport: Any = transport_class(url, **{"allow_http": True, "key_dir": None, **options})
        client = client_class(transport=transport, **(http or {}))
        self._made.append(client)
        return client

    def post(self, client: Any, url: str, **request: Any) -> Any:
        return self.call(lambda: client.post(url, **request))

    def call(self, ask: Callable[[], Any]) -> Any:
        if self.kind == "sync":
            return ask()

        async def run() -> Any:
            return await ask()

        return self._runner.run(run())

    def close_clients(self) -> None:
        while self._made:
            client = self._made.pop()
            self.call(client.close if self.kind == "sync" else client.aclose)

    def close(self) -> None:
        self.close_clients()
        self._runner.close()


@pytest.fixture(params=[(library, kind) for library in LIBRARIES for kind in ("sync", "async")], ids="-".join)
def side(request: pytest.FixtureRequest) -> Any:
    side = Side(*request.param)
    yield side
    side.close()


@pytest.mark.parametrize("address", ["ROUTER/chat/completions", "ROUTER/v1/chat/completions", "nowhere"])
def test_chat_completion_travels_sealed(side: Side, router: RunningRouter, key_directory: Path, address: str) -> None:
    with Tap(router.url) as tap:
        client = side.client(f"{tap.url}/v1/", key_dir=key_directory)
        nowhere = "https://sealed.invalid/v1/chat/completions"
        answer = side.post(
            client, nowhere if address == "nowhere" else address.replace("ROUTER", tap.url), json=PAYLOAD
        )
        side.close_clients()

    assert isinstance(answer, side.library.Response)
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"] == PROMPT
    assert answer.json()["_metadata"]["payload_id"] == answer.headers["x-request-id"]
    assert PROMPT.encode() not in tap.seen
    assert b"secure_completion" in tap.seen


def test_stream_is_one_of_server_sent_events(side: Side, router: RunningRouter, key_directory: Path) -> None:
    client = side.client(router.url, key_dir=key_directory)

    answer = side.post(client, f"{router.url}/chat/completions", json={**PAYLOAD, "stream": True})

    events = [line.removeprefix("data: ") for line in answer.text.split("\n\n")[:-1]]
    assert events[-1] == "[DONE]"
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    assert "".join(delta.get("content") or "" for delta in deltas) == PROMPT
    assert answer.headers["x-nomyo-stream"] == "complete"


def test_own_key_goes_to_the_router_and_that_of_the_http_client_does_not(
    side: Side, faulty_router: FaultyRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOMYO_API_KEY", "key-of-the-environment")
    headers = {"Authorization": "Bearer sk-canary", "X-Security-Tier": "high"}
    for options in ({}, {"api_key": "own-key"}, {"api_key": ""}):
        client = side.client(faulty_router.url, key_dir=key_directory, http={"headers": headers}, **options)
        side.post(client, f"{faulty_router.url}/chat/completions", json=PAYLOAD)

    keys = [post.headers.get("authorization") for post in faulty_router.posts]
    assert keys == ["Bearer key-of-the-environment", "Bearer own-key", None]
    assert {post.headers["x-security-tier"] for post in faulty_router.posts} == {"high"}
    assert "sk-canary" not in str(faulty_router.received)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_are_refused(side: Side, faulty_router: FaultyRouter, key_directory: Path, method: str) -> None:
    client = side.client(faulty_router.url, key_dir=key_directory)

    answer = side.call(lambda: client.request(method, f"{faulty_router.url}/chat/completions"))

    assert answer.status_code == 404
    assert faulty_router.received == []


BODIES = {
    "no JSON": b'{"canary',
    "no object": b'["canary"]',
    "too deep": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no number": b'{"model": "m", "messages": [NaN]}',
    "empty object": b"{}",
}


@pytest.mark.parametrize("what", BODIES)
def test_body_that_is_no_request_is_refused(
    side: Side, faulty_router: FaultyRouter, key_directory: Path, what: str
) -> None:
    client = side.client(faulty_router.url, key_dir=key_directory)

    answer = side.post(client, f"{faulty_router.url}/chat/completions", content=BODIES[what])

    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert "canary" not in answer.text
    assert faulty_router.received == []


def test_two_tiers_are_refused(side: Side, faulty_router: FaultyRouter, key_directory: Path) -> None:
    """Which one was meant, nobody can tell; the weaker must not win."""
    client = side.client(faulty_router.url, key_dir=key_directory, http={"headers": {"X-Security-Tier": "high"}})
    url = f"{faulty_router.url}/chat/completions"

    answer = side.post(client, url, json={**PAYLOAD, "security_tier": "maximum"})
    assert (answer.status_code, faulty_router.received) == (400, [])
    assert "the same wherever it is named" in answer.json()["error"]["message"]

    side.post(client, url, json={**PAYLOAD, "security_tier": "high"})
    assert faulty_router.posts[0].headers["x-security-tier"] == "high"


def test_another_address_is_refused(side: Side, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = side.client("https://127.0.0.1:9", key_dir=key_directory)

    answer = side.post(client, f"{faulty_router.url}/chat/completions", json=PAYLOAD)

    assert answer.status_code == 404
    assert "https://127.0.0.1:9 alone" in answer.json()["error"]["message"]
    assert faulty_router.received == []


def test_failures_are_those_of_the_http_library(side: Side, unused_port: int, key_directory: Path) -> None:
    url = f"http://127.0.0.1:{unused_port}"

    with pytest.raises(side.library.ConnectError, match="refused"):
        side.post(side.client(url, key_dir=key_directory), f"{url}/chat/completions", json=PAYLOAD)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = side.client(url, key_dir=key_directory, http={"timeout": 0.2})
        with pytest.raises(side.library.ReadTimeout, match="timed out"):
            side.post(client, f"{url}/chat/completions", json=PAYLOAD)


def test_request_without_timeouts_has_those_of_the_transport(key_directory: Path) -> None:
    began_s = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        transport = SecureTransport(url, allow_http=True, key_dir=key_directory, timeout=0.2)
        with pytest.raises(httpx.ReadTimeout):
            transport.handle_request(httpx.Request("POST", f"{url}/chat/completions", json=PAYLOAD))
        transport.close()

    assert time.monotonic() - began_s < 30


def test_transport_never_retries(side: Side, faulty_router: FaultyRouter, key_directory: Path) -> None:
    faulty_router.always(Answer(503, b"", {"retry-after": "3"}))

    answer = side.post(
        side.client(faulty_router.url, key_dir=key_directory), f"{faulty_router.url}/chat/completions", json=PAYLOAD
    )

    assert (answer.status_code, answer.headers["retry-after"], len(faulty_router.posts)) == (503, "3", 1)


def test_closed_transport_is_of_no_use(router: RunningRouter, key_directory: Path) -> None:
    transport = SecureTransport(router.url, allow_http=True, key_dir=key_directory)
    transport.close()
    transport.close()

    with pytest.raises(nomyo.DisposedError):
        transport.handle_request(httpx.Request("POST", f"{router.url}/chat/completions", json=PAYLOAD))


def test_sdk_of_any_client_hands_security_errors_on_without_retrying(
    side: Side, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    faulty_router.change = lambda body: body[:-40]
    sdk_class: Any = {"sync": openai.OpenAI, "async": openai.AsyncOpenAI}[side.kind]
    http = side.client(faulty_router.url, key_dir=key_directory)
    client = sdk_class(api_key="unused", base_url=faulty_router.url, http_client=http, max_retries=2)

    with pytest.raises(nomyo.SecurityError, match="cannot be opened"):
        side.call(lambda: client.chat.completions.create(**PAYLOAD))

    assert len(faulty_router.posts) == 1


def test_error_keeps_no_payload_alive(side: Side) -> None:
    client = side.client("http://127.0.0.1:9", allow_http=False)

    with pytest.raises(nomyo.SecurityError) as raised:
        side.post(client, "http://127.0.0.1:9/chat/completions", json=PAYLOAD)

    values = [value for frame in our_frames(raised.value.__traceback__) for value in frame.f_locals.values()]
    assert not any(isinstance(value, SealedRequest) for value in values)


def test_error_is_ours_alone_where_there_is_no_sdk() -> None:
    program = """
import sys, httpx, nomyo
from nomyo.transports import SecureTransport
with httpx.Client(transport=SecureTransport("http://127.0.0.1:9", key_dir=None)) as client:
    try:
        client.post("http://127.0.0.1:9/chat/completions", json={"model": "m"})
    except nomyo.SecurityError as error:
        print(type(error) is nomyo.SecurityError, "openai" in sys.modules)
"""

    assert output_of(program) == "True False\n"


@pytest.mark.parametrize("transport_class", [SecureTransport, AsyncSecureTransport])
def test_plain_http_is_warned_of_where_the_transport_is_made(transport_class: type[Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        transport_class("http://127.0.0.1:9/v1/", allow_http=True, key_dir=None)

    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]


def test_address_for_others_is_nobodys() -> None:
    transport = SecureTransport("https://127.0.0.1:9", key_dir=None)

    assert transport.base_url == "https://sealed.invalid/v1"
    with pytest.raises(httpx.ConnectError):
        httpx.post(f"{transport.base_url}/chat/completions", json=PAYLOAD)


def test_security_tier_that_does_not_exist_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="security_tier must be one of"):
        SecureTransport(security_tier="higher", key_dir=None)  # type: ignore[arg-type]


def test_timeout_of_one_request_does_not_fail_another_that_waits_for_the_same_key(
    router: RunningRouter, key_directory: Path
) -> None:
    """The first asks for the router's key, gets no answer and gives up; the second has more patience."""
    connections: list[asyncio.StreamWriter] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while piece := await reader.read(65536):
            writer.write(piece)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        if len(connections) == 1:
            await reader.read(-1)
            writer.close()
            return
        target = httpx.URL(router.url)
        answers, requests = await asyncio.open_connection(target.host, target.port)
        await asyncio.gather(relay(reader, requests), relay(answers, writer))

    async def main() -> list[httpx.Response | BaseException]:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            transport = AsyncSecureTransport(url, allow_http=True, key_dir=key_directory)
            async with httpx.AsyncClient(transport=transport) as client:
                ask = f"{url}/v1/chat/completions"
                return await asyncio.gather(
                    *(client.post(ask, json=PAYLOAD, timeout=timeout_s) for timeout_s in (0.3, 60)),
                    return_exceptions=True,
                )

    hasty, patient = asyncio.run(main())

    assert isinstance(hasty, httpx.ReadTimeout)
    assert isinstance(patient, httpx.Response), repr(patient)
    assert patient.json()["choices"][0]["message"]["content"] == PROMPT
