"""What is said twice is refused before anything leaves: no reader may take one request for two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from nomyo.transports import SecureTransport
from support.faults import FaultyRouter
from support.proxied import TOKEN, Proxy, error_of

MESSAGES = '"messages": [{"role": "user", "content": "hello"}]'
TWICE: dict[str, tuple[str, str | None]] = {
    "security_tier": ('"security_tier": "maximum", "security_tier": "standard"', "security_tier"),
    "security_tier, the same": ('"security_tier": "high", "security_tier": "high"', "security_tier"),
    "security_tier and null": ('"security_tier": "high", "security_tier": null', "security_tier"),
    "security_tier in an escape": ('"security_tier": "maximum", "security\\u005ftier": "standard"', "security_tier"),
    "security_tier in an escape first": ('"\\u0073ecurity_tier": "maximum", "security_tier": "high"', "security_tier"),
    "stream": ('"stream": true, "stream": false', "stream"),
    "stream_options": ('"stream_options": null, "stream_options": {}', "stream_options"),
    "include_usage": ('"stream_options": {"include_usage": true, "include_usage": false}', None),
    "model": ('"model": "another"', "model"),
    "messages": ('"messages": []', "messages"),
    "api_key": ('"api_key": 1, "api_key": 2', "api_key"),
    "a parameter": ('"temperature": 0, "temperature": 1', None),
    "role of a message": ('"vendor": [{"role": "user", "role": "system"}]', None),
}


def body_of(further: str) -> bytes:
    return f'{{"model": "m", {MESSAGES}, {further}}}'.encode()


@pytest.mark.parametrize("what", TWICE)
def test_name_that_stands_twice_in_a_body_is_refused_by_the_proxy(
    proxy: Proxy, faulty_router: FaultyRouter, what: str
) -> None:
    further, param = TWICE[what]
    answer = proxy.post(body_of(further))
    assert error_of(answer) == (400, "invalid_request_error", "invalid_request")
    assert answer.json()["error"]["param"] == param
    assert faulty_router.posts == []


@pytest.mark.parametrize("what", TWICE)
def test_name_that_stands_twice_in_a_body_is_refused_by_a_transport(
    faulty_router: FaultyRouter, key_directory: Path, what: str
) -> None:
    url = f"{faulty_router.url}/chat/completions"
    with httpx.Client(transport=SecureTransport(faulty_router.url, allow_http=True, key_dir=key_directory)) as client:
        answer = client.post(url, content=body_of(TWICE[what][0]))
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert faulty_router.posts == []


def test_same_name_in_different_objects_is_no_repetition(proxy: Proxy) -> None:
    answer = proxy.post(body_of('"vendor": {"model": {"model": 1}, "messages": [{"a": 1}, {"a": 1}]}'))
    assert answer.status_code == 200, answer.text


def answer_with_headers(proxy: Proxy, *further: tuple[str, str], **changed: str | None) -> httpx.Response:
    headers = [*proxy.headers(content_type="application/json", **changed).items(), *further]
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
    return httpx.post(f"{proxy.url}/v1/chat/completions", content=body, headers=headers, trust_env=False, timeout=60)


REPEATED_HEADERS: dict[str, tuple[list[tuple[str, str]], int]] = {
    "tiers that disagree": ([("X-Security-Tier", "maximum"), ("X-Security-Tier", "standard")], 400),
    "tiers in one header": ([("X-Security-Tier", "maximum, standard")], 400),
    "tier and none": ([("X-Security-Tier", "maximum"), ("X-Security-Tier", "")], 400),
    "another type": ([("Content-Type", "text/plain")], 415),
    "another encoding": ([("Content-Encoding", "identity"), ("Content-Encoding", "gzip")], 415),
    "another token": ([("Authorization", "Bearer another")], 401),
    "the same token": ([("Authorization", f"Bearer {TOKEN}")], 401),
}


@pytest.mark.parametrize("what", REPEATED_HEADERS)
def test_header_that_comes_twice_and_counts_once_is_refused(
    proxy: Proxy, faulty_router: FaultyRouter, what: str
) -> None:
    further, status = REPEATED_HEADERS[what]
    assert error_of(answer_with_headers(proxy, *further))[0] == status
    assert faulty_router.posts == []


def test_same_tier_may_be_named_twice_in_headers(proxy: Proxy, faulty_router: FaultyRouter) -> None:
    answer = answer_with_headers(proxy, ("X-Security-Tier", "high"), ("X-Security-Tier", "high"))
    assert answer.status_code == 200
    assert faulty_router.posts[0].headers["x-security-tier"] == "high"


@pytest.mark.parametrize("query", ["security_tier=standard", "stream=true", "api-version=1", "a=1&a=2"])
def test_query_that_would_be_ignored_is_refused(proxy: Proxy, faulty_router: FaultyRouter, query: str) -> None:
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
    answer = proxy.post(body, path=f"/v1/chat/completions?{query}")
    assert error_of(answer) == (400, "invalid_request_error", "invalid_request")
    assert faulty_router.posts == []
