"""What programs get from the proxy: answers, streams and errors as from OpenAI's servers; the wire sees nothing."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.faults import PUBLIC_KEY, Answer, FaultyRouter, note_opened
from support.held_router import HeldRouter
from support.needles import of_texts, texts
from support.odd_answers import NAMED, RETRY_AFTERS, answer_with
from support.proxied import API_KEY, TOKEN, Proxy, chat, error_of, proxy_process, said_by

MODELS = ("Qwen/Qwen3-0.6B", "another")


@pytest.fixture(scope="module")
def router() -> Iterator[FaultyRouter]:
    with FaultyRouter() as router:
        yield router


@pytest.fixture(scope="module")
def shared_proxy(router: FaultyRouter, key_directory: Path) -> Iterator[Proxy]:
    options = ["--max-retries", "1", "--model", MODELS[0], "--model", MODELS[1]]
    with proxy_process(router.url, key_directory, *options) as proxy:
        yield proxy


@pytest.fixture
def proxy(shared_proxy: Proxy, router: FaultyRouter) -> Proxy:
    router.reset()
    return shared_proxy


def curl(proxy: Proxy, *words: str, path: str = "/v1/chat/completions", body: Any = None) -> str:
    program = shutil.which("curl")
    assert program, "these tests need curl"
    url = proxy.url + path
    options = ["--silent", "--show-error", "--fail-with-body", "--noproxy", "*", "--max-time", "60"]
    headers = ["--header", f"Authorization: Bearer {TOKEN}", "--header", "Content-Type: application/json"]
    given = [] if body is None else ["--data-binary", "@-"]
    done = subprocess.run(
        [program, *options, *headers, *given, *words, url],
        input=None if body is None else json.dumps(body),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    return done.stdout


@pytest.mark.outside("curl")
def test_curl_has_a_chat(proxy: Proxy) -> None:
    answer = json.loads(curl(proxy, body=chat("caf\u00e9 \U0001f600")))
    assert answer["choices"][0]["message"]["content"] == "caf\u00e9 \U0001f600"
    assert answer["object"] == "chat.completion"
    assert answer["_metadata"]["is_encrypted"] is True


@pytest.mark.outside("curl")
def test_curl_reads_a_stream_that_says_that_it_is_not_incremental(proxy: Proxy) -> None:
    request = chat("in a stream", stream=True, stream_options={"include_usage": True})
    told = curl(proxy, "--no-buffer", "--include", body=request)
    head, _, events = told.replace("\r\n", "\n").partition("\n\n")
    assert "content-type: text/event-stream" in head.lower()
    assert "x-nomyo-stream: complete" in head.lower()
    lines = [line for line in events.splitlines() if line]
    assert lines.pop() == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    parts = [choice for chunk in chunks for choice in chunk["choices"]]
    assert "".join(part["delta"].get("content") or "" for part in parts) == "in a stream"
    assert parts[-1]["finish_reason"] == "stop"
    assert chunks[-1]["usage"]["total_tokens"] > 0


@pytest.mark.outside("curl")
def test_curl_lists_the_models_that_were_configured(proxy: Proxy) -> None:
    listed = json.loads(curl(proxy, path="/v1/models"))
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == list(MODELS)
    assert json.loads(curl(proxy, path=f"/v1/models/{MODELS[0]}")) == listed["data"][0]


def test_unknown_model_and_path_are_openai_shaped_errors(proxy: Proxy) -> None:
    assert error_of(proxy.get("/v1/models/none")) == (404, "not_found_error", "model_not_found")
    for path in ("/v1/embeddings", "/v1/chat/completions/", "/..%2f..%2fetc/passwd", "/page/"):
        assert error_of(proxy.get(path)) == (404, "not_found_error", "unknown_path")
    assert error_of(proxy.post(chat(), "/v1/embeddings")) == (404, "not_found_error", "unknown_path")
    assert error_of(proxy.get("/v1/chat/completions"))[::2] == (405, "method_not_allowed")


def test_wire_between_proxy_and_router_shows_neither_prompt_nor_answer_nor_token(
    proxy: Proxy, router: FaultyRouter
) -> None:
    secrets = texts("prompt")
    answers: list[bytes] = []
    router.change = lambda body: answers.append(body) or body  # type: ignore[func-returns-value]
    for text in secrets:
        assert said_by(proxy.post(chat(text.content))) == text.content
        proxy.post(chat(text.content, stream=True))
    assert len(router.posts) == len(answers) == 2 * len(secrets)
    sent = [
        b"\n".join([*(name + b": " + value for name, value in post.raw_headers), post.body]) for post in router.posts
    ]
    needles = of_texts(secrets)
    for package in (*sent, *answers):
        assert not any(needle.content in package for needle in needles)
        assert TOKEN.encode() not in package
    in_clear = json.dumps(chat(secrets[0].content)).encode()
    assert any(needle.content in in_clear for needle in needles)  # they can be found where they are
    assert all(post.headers["authorization"] == f"Bearer {API_KEY}" for post in router.posts)


def test_unknown_fields_pass_through_and_those_of_the_way_do_not(
    proxy: Proxy, router: FaultyRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = note_opened(router, monkeypatch)
    fields = {"seed": 2**70, "temperature": 0.1, "logit_bias": {"50256": -100}, "vendor": [1e300, None, {"a": [True]}]}
    said_by(proxy.post(chat(security_tier="high", stream=False, stream_options={"include_usage": True}, **fields)))
    assert opened == [chat(**fields)]


def test_answer_is_the_routers_to_the_last_digit(
    proxy: Proxy, router: FaultyRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "\u00e9 \U0001f600 \u2028"}}],
        "integer": 2**200 + 1,
        "float": 0.1 + 0.2,
        "tiny": 5e-324,
        "order": {"z": 1, "a": [], "": {}},
    }

    async def complete(_: Any) -> dict[str, Any]:
        return exact

    monkeypatch.setattr(router.running.router._model, "complete", complete)
    answer = json.loads(proxy.post(chat()).content)
    del answer["_metadata"]
    assert json.dumps(answer) == json.dumps(exact)


def test_answer_that_python_would_not_write_is_a_bad_gateway(proxy: Proxy, router: FaultyRouter) -> None:
    answer_with(router, f'{{"choices": [], "integer": {"9" * 5000}}}')
    for stream in (False, True):
        assert error_of(proxy.post(chat(stream=stream))) == (502, "server_error", "not_secure")


def test_answer_that_the_router_would_not_write_is_what_the_router_says(
    proxy: Proxy, router: FaultyRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def complete(_: Any) -> dict[str, Any]:
        return {"choices": [], "integer": 1 << 20_000}

    monkeypatch.setattr(router.running.router._model, "complete", complete)
    for stream in (False, True):
        assert proxy.post(chat(stream=stream)).status_code == 422


@pytest.mark.parametrize(
    ("body", "header", "tier"),
    [
        ({}, None, None),
        ({"security_tier": "high"}, None, "high"),
        ({"security_tier": None}, "maximum", "maximum"),
        ({"security_tier": "high"}, "high", "high"),
    ],
)
def test_security_tier_travels_as_a_header(
    proxy: Proxy, router: FaultyRouter, body: dict[str, Any], header: str | None, tier: str | None
) -> None:
    answer = proxy.post(chat(**body), x_security_tier=header)
    assert answer.json()["_metadata"]["security_tier"] == tier or tier is None
    assert router.posts[0].headers.get("x-security-tier") == tier


INVALID = [
    (b"", None),
    (b"[]", None),
    (b"null", None),
    (b'{"model": "a', None),
    (b'{"model": "\xff"}', None),
    (b"[" * 100_000, None),
    (b'{"n": ' + b"9" * 10_000 + b"}", None),
    (json.dumps(chat()).encode("utf-16"), None),
    ({"messages": [{"role": "user", "content": "a"}]}, "model"),
    (chat(model=7), "model"),
    ({"model": "a"}, "messages"),
    ({"model": "a", "messages": []}, "messages"),
    (chat(stream="yes"), "stream"),
    (chat(security_tier="low"), "security_tier"),
    (chat(security_tier=["high"]), "security_tier"),
    (chat(base_url="http://127.0.0.1:1"), "base_url"),
    (chat(api_key="mine"), "api_key"),
]


@pytest.mark.parametrize(("body", "param"), INVALID)
def test_request_that_makes_no_sense_is_refused_here(
    proxy: Proxy, router: FaultyRouter, body: Any, param: str | None
) -> None:
    answer = proxy.post(body)
    assert error_of(answer) == (400, "invalid_request_error", "invalid_request")
    assert answer.json()["error"]["param"] == param
    assert router.posts == []


@pytest.mark.parametrize(("tier", "header"), [("high", "maximum"), (None, "low"), (None, "h\u00e9")])
def test_tiers_that_disagree_or_do_not_exist_are_refused(
    proxy: Proxy, router: FaultyRouter, tier: str | None, header: str
) -> None:
    headers = [*proxy.headers(content_type="application/json").items(), ("x-security-tier", header.encode("latin-1"))]
    body = json.dumps(chat(security_tier=tier)).encode()
    answer = httpx.post(f"{proxy.url}/v1/chat/completions", content=body, headers=headers, trust_env=False)  # type: ignore[arg-type]
    assert answer.json()["error"]["param"] == "security_tier"
    assert error_of(answer)[0] == 400
    assert router.posts == []


def test_payload_nested_too_deeply_is_refused_with_its_path(proxy: Proxy, router: FaultyRouter) -> None:
    deep: Any = "bottom"
    for _ in range(250):
        deep = [deep]
    answer = proxy.post(chat(vendor=deep))
    assert error_of(answer)[0] == 400
    assert "vendor" in answer.json()["error"]["message"]
    assert router.posts == []


STATUSES = [
    (400, 400, "invalid_request_error", "router_status_400", 1),
    (401, 502, "server_error", "router_authentication_failed", 1),
    (403, 403, "permission_error", "router_status_403", 1),
    (404, 404, "not_found_error", "router_status_404", 1),
    (418, 418, "invalid_request_error", "router_status_418", 1),
    (429, 429, "rate_limit_error", "router_status_429", 2),
    (500, 500, "server_error", "router_status_500", 2),
    (503, 503, "server_error", "router_status_503", 2),
    (504, 504, "server_error", "router_status_504", 2),
    (302, 502, "server_error", "router_status_302", 1),
    (501, 502, "server_error", "router_status_501", 1),
]


@pytest.mark.parametrize(("status", "told", "kind", "code", "attempts"), STATUSES)
def test_routers_status_is_kept_but_for_what_only_concerns_the_proxy(
    proxy: Proxy, router: FaultyRouter, status: int, told: int, kind: str, code: str, attempts: int
) -> None:
    router.always(Answer(status, b'{"detail": "in its own words"}'))
    answer = proxy.post(chat())
    assert error_of(answer) == (told, kind, code)
    assert ("in its own words" in answer.text) == (status != 401)
    assert API_KEY not in answer.text
    assert len(router.posts) == attempts
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("what", NAMED)
def test_routers_names_for_an_error_are_kept(proxy: Proxy, router: FaultyRouter, what: str) -> None:
    body, named = NAMED[what]
    router.always(Answer(400, body))
    error = proxy.post(chat()).json()["error"]
    told = {"type": "invalid_request_error", "param": None, "code": "router_status_400", **named}
    assert error == {"message": "The router: its words", **told}


def test_routers_retry_after_as_a_date_is_passed_on_as_seconds(proxy: Proxy, router: FaultyRouter) -> None:
    now = datetime.now(UTC) + timedelta(days=1)  # the router's clock, not ours
    dates = {"date": format_datetime(now, usegmt=True), "retry-after": format_datetime(now + timedelta(seconds=90))}
    router.always(Answer(503, headers=dates))
    assert proxy.post(chat()).headers["retry-after"] == "90"


@pytest.mark.parametrize(("sent", "told"), [*RETRY_AFTERS, ("a while", None)])
@pytest.mark.slow("retries after as many seconds as the router asks for")
def test_routers_retry_after_is_passed_on(proxy: Proxy, router: FaultyRouter, sent: str, told: str | None) -> None:
    router.always(Answer(429, headers={"Retry-After": sent}), times=2)
    assert proxy.post(chat()).headers.get("retry-after") == told


def test_router_that_takes_too_long_is_a_gateway_timeout(key_directory: Path) -> None:
    with HeldRouter() as held:
        options = ["--timeout", "1", "--max-retries", "0"]
        with proxy_process(held.url, key_directory, *options) as proxy:
            assert error_of(proxy.post(chat())) == (504, "server_error", "router_timeout")


def test_answer_that_cannot_be_opened_is_a_bad_gateway(proxy: Proxy, router: FaultyRouter) -> None:
    router.change = lambda body: body[:-40]
    assert error_of(proxy.post(chat())) == (502, "server_error", "not_secure")


def test_router_that_cannot_be_reached_is_a_bad_gateway_and_its_key_not_shown(
    unused_port: int, key_directory: Path
) -> None:
    options = ["--max-retries", "0"]
    with proxy_process(f"http://127.0.0.1:{unused_port}", key_directory, *options) as proxy:
        assert error_of(proxy.post(chat())) == (502, "server_error", "router_unreachable")
        router = proxy.get("/nomyo/status").json()["router"]
        assert (router["key_fingerprint"], router["key_error"]) == (None, "router_unreachable")
        assert proxy.get("/healthz").status_code == 200


def test_router_with_another_key_than_the_pinned_one_is_refused(router: FaultyRouter, key_directory: Path) -> None:
    router.reset()
    with proxy_process(router.url, key_directory, "--server-key-fingerprint", "SHA256:" + "A" * 43) as proxy:
        assert error_of(proxy.post(chat())) == (502, "server_error", "not_secure")
        status = proxy.get("/nomyo/status").json()["router"]
    assert (status["key_pinned"], status["key_error"]) == (True, "not_secure")
    assert router.posts == []
    assert {request.path for request in router.received} == {PUBLIC_KEY}


def test_default_tier_is_that_of_requests_that_name_none(router: FaultyRouter, key_directory: Path) -> None:
    router.reset()
    with proxy_process(router.url, key_directory, "--security-tier", "high") as proxy:
        proxy.post(chat())
        proxy.post(chat(security_tier="maximum"))
    assert [post.headers["x-security-tier"] for post in router.posts] == ["high", "maximum"]
