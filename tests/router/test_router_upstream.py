"""The router in front of an OpenAI-compatible server: what is passed on, and what never is."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nomyo.exchange.retries import RETRIED_STATUSES
from nomyo.serve.listener import Listener
from nomyo.serve.router import RouterConfig, RunningRouter, UpstreamConfig
from nomyo.serve.server import BackgroundServer
from support.peer import seal_for
from support.router_peer import ask, chat, detail_of, post, reply_of, router_pem, send

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "real",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "from upstream"}, "finish_reason": "stop"}],
}


@dataclass
class Backend:
    """An OpenAI-compatible server that answers as told and keeps what it was asked."""

    answer: Callable[[], Response] = field(default=lambda: JSONResponse(COMPLETION))
    requests: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    delay_s: float = 0.0
    url: str = ""

    async def complete(self, request: Request) -> Response:
        self.headers.append(dict(request.headers))
        self.requests.append(json.loads(await request.body()))
        await asyncio.sleep(self.delay_s)
        return self.answer()


@pytest.fixture
def backend() -> Iterator[Backend]:
    backend = Backend()
    app = Starlette(routes=[Route("/v1/chat/completions", backend.complete, methods=["POST"])])
    with BackgroundServer(app, Listener()) as server:
        backend.url = server.url
        yield backend


@contextmanager
def router_before(url: str, **settings: Any) -> Iterator[RunningRouter]:
    own = {name: settings.pop(name) for name in ("api_key", "timeout_s") if name in settings}
    with RunningRouter(RouterConfig(key_bits=2048, upstream=UpstreamConfig(url, **own), **settings)) as router:
        yield router


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_request_is_answered_by_the_upstream(backend: Backend, suffix: str) -> None:
    with router_before(backend.url + suffix) as router:
        answer = ask(router.url, chat("to upstream", temperature=0.5, seed=2**70))
    assert reply_of(answer) == "from upstream"
    assert answer["model"] == "real"
    assert answer["_metadata"]["response_status"] == "success"
    assert backend.requests == [chat("to upstream", temperature=0.5, seed=2**70, stream=False)]


def test_stream_is_switched_off_for_the_upstream(backend: Backend) -> None:
    with router_before(backend.url) as router:
        ask(router.url, chat(stream=True, stream_options={"include_usage": True}))
    assert backend.requests == [chat(stream=False)]


def test_upstream_gets_the_routers_token_and_never_the_clients(backend: Backend) -> None:
    with router_before(backend.url, api_key="for-upstream") as router:
        ask(router.url, chat(), authorization="Bearer of-the-client")
    with router_before(backend.url) as router:
        ask(router.url, chat(), authorization="Bearer of-the-client")
    assert backend.headers[0]["authorization"] == "Bearer for-upstream"
    assert "authorization" not in backend.headers[1]
    assert not [name for name in backend.headers[0] if name.startswith("x-")]


def test_metadata_of_the_upstream_gives_way_to_the_routers(backend: Backend) -> None:
    backend.answer = lambda: JSONResponse(COMPLETION | {"_metadata": {"security_tier": "maximum", "other": 1}})
    with router_before(backend.url) as router:
        metadata = ask(router.url, chat())["_metadata"]
    assert metadata["security_tier"] == "standard"
    assert "other" not in metadata


@pytest.mark.parametrize(
    ("upstream_status", "status"),
    [
        *[(400, 400), (404, 400), (413, 400), (422, 400), (401, 502), (403, 502), (407, 502), (408, 504), (429, 429)],
        *[(500, 502), (501, 502), (502, 502), (503, 503), (504, 504), (599, 502), (301, 502), (307, 502)],
    ],
)
def test_error_of_the_upstream_is_told_by_its_class_alone(
    backend: Backend, caplog: pytest.LogCaptureFixture, upstream_status: int, status: int
) -> None:
    caplog.set_level(logging.DEBUG, "nomyo")
    body = {"error": {"message": "the prompt was: the-prompt"}}
    location = {"Location": backend.url + "/elsewhere", "X-Prompt": "the-prompt"}
    backend.answer = lambda: JSONResponse(body, status_code=upstream_status, headers=location)
    with router_before(backend.url) as router:
        response = send(router.url, chat("the-prompt"))
    assert response.status_code == status
    assert "upstream" in detail_of(response).lower()
    assert "the-prompt" not in response.text + str(response.headers) + caplog.text
    assert len(backend.requests) == 1


@pytest.mark.parametrize(
    ("given", "passed_on"), [("7", "7"), ("99999", "3600"), ("1.5", "2"), ("soon", None), ("-1", None)]
)
def test_retry_after_of_the_upstream_is_passed_on_as_a_number(
    backend: Backend, given: str, passed_on: str | None
) -> None:
    backend.answer = lambda: JSONResponse({}, status_code=429, headers={"Retry-After": given})
    with router_before(backend.url) as router:
        assert send(router.url, chat()).headers.get("retry-after") == passed_on


def test_milliseconds_of_the_upstream_are_passed_on_as_whole_seconds(backend: Backend) -> None:
    backend.answer = lambda: JSONResponse({}, status_code=429, headers={"retry-after-ms": "2300"})
    with router_before(backend.url) as router:
        assert send(router.url, chat()).headers["retry-after"] == "3"


def test_retry_after_of_the_upstream_as_a_date_is_passed_on_as_a_number(backend: Backend) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=600), usegmt=True)
    backend.answer = lambda: JSONResponse({}, status_code=503, headers={"Retry-After": date})
    with router_before(backend.url) as router:
        assert 500 < int(send(router.url, chat()).headers["retry-after"]) <= 601


NO_COMPLETION = "The upstream's answer is not a chat completion"
AN_ERROR = "The upstream answered with an error, and with the status of a success"
UNSENDABLE = "The model's answer cannot be sent"
# What asking again would bring once more, and the words for it: nothing of it may stand in them.
NOT_MENDED = [
    *[(body, NO_COMPLETION) for body in (b"", b"the-prompt", b"[]", b"{}", b"[" * 4000, b"\xff", b"null")],
    *[(b'{"choices": %s}' % choices, NO_COMPLETION) for choices in (b"1", b"null", b"[]", b"{}", b'"the-prompt"')],
    *[(b'{"error": %s}' % error, AN_ERROR) for error in (b'"the-prompt"', b'{"message": "the-prompt"}')],
    (b'{"choices": null, "error": {"code": 502}}', AN_ERROR),
    (b'{"choices": [' + b"[" * 250 + b'"the-prompt"' + b"]" * 250 + b"]}", UNSENDABLE),
    (b'{"choices": [' + b"[" * 900 + b"]" * 900 + b"]}", UNSENDABLE),
    (b'{"choices": [' + b'{"a":' * 700 + b"1" + b"}" * 700 + b"]}", UNSENDABLE),
    (b'{"choices": ["' + b"the-prompt" * 500 + b'"]}', "The upstream's answer is too large"),
    (b'{"choices": ["' + "é".encode() * 2200 + b'"], "x": 1}', UNSENDABLE),
]


@pytest.mark.parametrize(("body", "words"), NOT_MENDED)
def test_what_asking_again_does_not_mend_has_a_status_that_is_not_retried(
    backend: Backend, body: bytes, words: str
) -> None:
    backend.answer = lambda: Response(body)
    with router_before(backend.url, max_response_bytes=4500) as router:
        response = send(router.url, chat())
    assert (response.status_code, detail_of(response)) == (422, words)
    assert response.status_code not in RETRIED_STATUSES


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "-1e400"])
def test_number_that_is_none_is_sealed_as_null(backend: Backend, number: str) -> None:
    body = json.dumps(COMPLETION | {"logprob": 0}).replace('"logprob": 0', f'"logprob": {number}')
    backend.answer = lambda: Response(body)
    with router_before(backend.url) as router:
        answer = ask(router.url, chat())
    assert (reply_of(answer), answer["logprob"]) == ("from upstream", None)


def test_number_that_is_none_in_a_request_is_not_passed_on(backend: Backend) -> None:
    with router_before(backend.url) as router:
        package = seal_for(router_pem(router.url), b'{"model":"m","messages":[{"role":"user"}],"temperature":1e400}')
        response = post(router.url, package)
    assert (response.status_code, detail_of(response)) == (400, "The request holds a number that JSON does not have")
    assert backend.requests == []


def test_upstream_that_takes_too_long_is_504(backend: Backend) -> None:
    backend.delay_s = 1
    with router_before(backend.url, timeout_s=0.2) as router:
        response = send(router.url, chat())
    assert (response.status_code, detail_of(response)) == (504, "The upstream took too long")


def test_upstream_that_is_not_there_is_503() -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with router_before(f"http://127.0.0.1:{port}") as router:
        response = send(router.url, chat())
    assert (response.status_code, detail_of(response)) == (503, "The upstream cannot be reached")


def test_connection_that_breaks_is_502() -> None:
    def hang_up(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(100)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=hang_up, args=(listening,)).start()
        with router_before(f"http://127.0.0.1:{listening.getsockname()[1]}") as router:
            response = send(router.url, chat())
    assert (response.status_code, detail_of(response)) == (502, "The connection to the upstream failed")


def test_proxy_of_the_environment_is_not_used(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with router_before(backend.url) as router:
        assert reply_of(ask(router.url, chat())) == "from upstream"


def test_request_beyond_the_places_in_flight_is_503(backend: Backend) -> None:
    backend.delay_s = 2
    with router_before(backend.url, max_requests_in_flight=1) as router:
        first = threading.Thread(target=send, args=(router.url, chat()))
        first.start()
        while not backend.requests:
            time.sleep(0.01)
        response = post(router.url, b"{}")
        first.join()
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert detail_of(response) == "The router is busy"
        backend.delay_s = 0
        assert send(router.url, chat()).status_code == 200


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:8000", "ftp://x", "http://", "http://user:pass@x", "http://x/?key=1", "http://x/#y"]
)
def test_upstream_that_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="upstream"):
        UpstreamConfig(url)


@pytest.mark.parametrize(
    ("url", "in_clear"),
    [("http://127.0.0.1:1", False), ("http://localhost", False), ("https://x", False), ("http://x", True)],
)
def test_upstream_knows_whether_requests_leave_in_clear(url: str, in_clear: bool) -> None:
    assert UpstreamConfig(url).in_clear_beyond_this_machine is in_clear


def test_timeout_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="timeout_s"):
        UpstreamConfig("http://127.0.0.1", timeout_s=0)


def test_upstreams_key_is_not_shown() -> None:
    assert "secret" not in repr(UpstreamConfig("http://127.0.0.1", api_key="secret"))
