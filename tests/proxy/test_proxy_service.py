"""What the proxy tells of itself: status, metrics, log and page; none of it holds content, a token or a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import nomyo
from nomyo.serve.proxy import page_files
from support.faults import Answer, FaultyRouter
from support.memory_scan import Needle
from support.needles import of_texts, texts
from support.proxied import API_KEY, TOKEN, Proxy, chat, proxy_process, said_by


@pytest.fixture(scope="module")
def router() -> Iterator[FaultyRouter]:
    with FaultyRouter() as router:
        yield router


@pytest.fixture
def proxy(router: FaultyRouter, key_directory: Path) -> Iterator[Proxy]:
    router.reset()
    options = ["--max-retries", "0", "--model", "a", "--model", "b"]
    with proxy_process(router.url, key_directory, *options) as proxy:
        yield proxy


def test_status_tells_what_protects_and_whose_key_it_is(proxy: Proxy, router: FaultyRouter) -> None:
    status = proxy.get("/nomyo/status").json()
    assert status["version"] == nomyo.__version__
    fingerprint = router.running.fingerprint
    assert status["router"] == {
        "url": router.url,
        "key_fingerprint": fingerprint,
        "key_error": None,
        "key_pinned": False,
    }
    assert status["models"] == ["a", "b"]
    info = nomyo.get_memory_protection_info()
    protections = status["protections"]
    assert (protections["method"], protections["can_lock"]) == (info.method, info.can_lock)
    assert protections["locked_memory_required"] is False
    assert set(protections) == {"can_lock", "details", "is_platform_secure", "locked_memory_required", "method"}


def test_router_is_not_asked_for_its_key_at_every_look(proxy: Proxy, router: FaultyRouter) -> None:
    for _ in range(5):
        proxy.get("/nomyo/status")
    assert len(router.key_fetches) == 1


def test_metrics_count_what_happened(proxy: Proxy, router: FaultyRouter) -> None:
    router.answers.append(Answer(429))
    proxy.post(chat())
    said_by(proxy.post(chat()))
    proxy.get("/v1/models", authorization="wrong")
    answer = proxy.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    route = 'route="/v1/chat/completions"'
    for line in (
        f'nomyo_proxy_requests_total{{{route},status="429"}} 1.0',
        f'nomyo_proxy_requests_total{{{route},status="200"}} 1.0',
        'nomyo_proxy_errors_total{code="router_status_429"} 1.0',
        'nomyo_proxy_errors_total{code="invalid_token"} 1.0',
        f"nomyo_proxy_request_seconds_count{{{route}}} 2.0",
        "nomyo_proxy_in_flight 0.0",
        "nomyo_proxy_waiting 0.0",
    ):
        assert line in lines
    received = re.search(r"^nomyo_proxy_received_bytes_total (\S+)$", answer.text, re.MULTILINE)
    assert received
    assert float(received[1]) > 100


def test_no_log_line_metric_or_error_holds_content_token_or_key(proxy: Proxy, router: FaultyRouter) -> None:
    prompts = texts("prompt")
    told = []
    for text in prompts:
        said_by(proxy.post(chat(text.content)))
        told.append(proxy.post({**chat(), "model": text.content[:100], "messages": text.content}).text)
        told.append(proxy.post(text.content.encode("utf-8")).text)
        told.append(proxy.get(f"/v1/models/{text.content[:40]}?q={text.content[:40]}").text)
        router.answers.append(Answer(400, b'{"detail": "no"}'))
        told.append(proxy.post(chat(text.content), x_security_tier="high").text)
        told.append(proxy.post(chat(text.content), x_security_tier=text.content[:12]).text)
        router.change = lambda body: body[:-40]
        told.append(proxy.post(chat(text.content)).text)
        router.change = None
    told.append(proxy.get("/metrics").text)
    assert proxy.stop() == 0
    assert "POST /v1/chat/completions 200" in proxy.stderr
    told.append(proxy.stderr)
    needles = [*of_texts(prompts), *(Needle(name, "as it is", name.encode()) for name in (TOKEN, API_KEY))]
    for words in told:
        assert not [needle.secret for needle in needles if needle.content in words.encode("utf-8")]


def test_page_is_served_with_its_files(proxy: Proxy) -> None:
    files = page_files.page_files()
    assert "/" in files
    for path, file in files.items():
        answer = proxy.get(path, authorization=None)
        assert answer.content == file.content
        assert answer.headers["content-type"] == file.media_type
    assert proxy.get("/").headers["content-type"] == "text/html; charset=utf-8"
