"""Who gets an answer from the proxy: callers with the token, under a name of this machine, from no foreign page."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.datastructures import Headers

from nomyo.serve.listener import Listener
from nomyo.serve.proxy.config import ProxyConfig
from nomyo.serve.proxy.hosts import Hosts
from nomyo.serve.proxy.refusal import Refusal
from nomyo.serve.router.running import RunningRouter
from support.proxied import TOKEN, Proxy, chat, error_of, proxy_process, said_by

PATHS = ["/", "/healthz", "/v1/models", "/metrics", "/nomyo/status", "/nothing"]


@pytest.fixture(scope="module")
def proxy(router: RunningRouter, key_directory: Path) -> Iterator[Proxy]:
    with proxy_process(router.url, key_directory, "--allow-host", "box.lan") as proxy:
        yield proxy


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
    ],
)
def test_without_the_token_there_is_no_answer(proxy: Proxy, authorization: str | None) -> None:
    refused = (401, "authentication_error", "invalid_token")
    for path in ("/v1/models", "/metrics", "/nomyo/status", "/nothing", "/v1/chat/completions", "/v1/responses", "//"):
        assert error_of(proxy.get(path, authorization=authorization)) == refused
    answer = proxy.post(chat(), authorization=authorization)
    assert error_of(answer) == refused
    assert answer.headers["www-authenticate"] == "Bearer"


def test_page_and_health_need_no_token_and_hold_no_secret(proxy: Proxy) -> None:
    for path in ("/", "/healthz"):
        answer = proxy.get(path, authorization=None)
        assert answer.status_code == 200
        assert TOKEN not in answer.text


def test_proxy_told_to_do_without_a_token_asks_for_none(router: RunningRouter, key_directory: Path) -> None:
    with proxy_process(router.url, key_directory, "--no-token") as proxy:
        assert (proxy.token, proxy.page_url) == (None, proxy.url + "/")
        assert said_by(proxy.post(chat("open"), authorization=None)) == "open"
        assert error_of(proxy.get("/v1/models", host="rebound.example")) == (
            421,
            "invalid_request_error",
            "foreign_host",
        )


@pytest.mark.parametrize(
    "host",
    [
        "rebound.example",
        "rebound.example:{port}",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.rebound.example:{port}",
        "127.0.0.1.rebound.example:{port}",
        "rebound.example@127.0.0.1:{port}",
        "127.0.0.1:{port}@rebound.example",
        "127.0.0.1:{port}/",
        "10.0.0.1:{port}",
        "[::2]:{port}",
        "[::1",
        ":{port}",
        "127.0.0.1:port",
    ],
)
def test_request_under_a_foreign_name_is_misdirected(proxy: Proxy, host: str) -> None:
    for path in PATHS:
        answer = proxy.get(path, host=host.format(port=proxy.port))
        assert error_of(answer) == (421, "invalid_request_error", "foreign_host")


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "[::1]:{port}", "box.lan", "box.lan:99"]
)
def test_request_under_a_name_of_its_own_is_answered(proxy: Proxy, host: str) -> None:
    assert proxy.get("/v1/models", host=host.format(port=proxy.port)).status_code == 200


def test_request_without_a_host_is_refused(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert b" 421 " in connection.recv(4096)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "http://localhost:{port}"},
        {"origin": "https://127.0.0.1:{port}"},
        {"origin": "null"},
        {"origin": ""},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": "http://127.0.0.1:{port}", "sec_fetch_site": "cross-site"},
    ],
)
def test_page_of_another_origin_is_refused(proxy: Proxy, headers: dict[str, str]) -> None:
    sent: dict[str, Any] = {name: value.format(port=proxy.port) for name, value in headers.items()}
    for path in PATHS:
        assert error_of(proxy.get(path, **sent)) == (403, "permission_error", "foreign_origin")
    answer = proxy.post(chat(), **sent)
    assert error_of(answer) == (403, "permission_error", "foreign_origin")
    assert not any(name.startswith("access-control-") for name in answer.headers)


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_its_own_page_is_answered(proxy: Proxy, site: str) -> None:
    assert said_by(proxy.post(chat("mine"), origin=proxy.url, sec_fetch_site=site)) == "mine"


def test_no_preflight_succeeds(proxy: Proxy) -> None:
    asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    for origin in ("https://evil.example", proxy.url):
        headers = {**proxy.headers(origin=origin), **asked}
        answer = httpx.options(f"{proxy.url}/v1/chat/completions", headers=headers, trust_env=False)
        assert answer.status_code in (403, 405)
        assert not any(name.startswith("access-control-") for name in answer.headers)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=a",
        "application/jsonp",
    ],
)
def test_body_that_a_form_could_send_is_refused(proxy: Proxy, content_type: str | None) -> None:
    answer = proxy.post(chat(), content_type=content_type)
    assert error_of(answer) == (415, "invalid_request_error", "unsupported_media_type")


def test_json_may_have_parameters_and_no_compression(proxy: Proxy) -> None:
    assert said_by(proxy.post(chat("a"), content_type="Application/JSON; charset=utf-8")) == "a"
    assert error_of(proxy.post(chat("a"), content_encoding="gzip"))[0] == 415


def test_every_answer_tells_browsers_to_keep_it_to_itself(proxy: Proxy) -> None:
    answers = [proxy.get(path) for path in PATHS]
    answers += [proxy.get("/", host="a.example"), proxy.get("/metrics", authorization=None), proxy.post(chat())]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "server" not in answer.headers


def refused(config: ProxyConfig, host: str, port: int = 8800) -> bool:
    try:
        Hosts(config).check(Headers({"host": host}), port)
    except Refusal:
        return True
    return False


def test_proxy_for_other_machines_is_reached_by_address_or_a_name_that_was_given() -> None:
    listener = Listener("0.0.0.0", 8800)
    config = ProxyConfig("t" * 16, listener, allow_remote=True, allowed_hosts=frozenset({"Proxy.lan:443", "[fd00::1]"}))
    for host in (
        "192.0.2.7:8800",
        "[2001:db8::1]:8800",
        "localhost:8800",
        "proxy.lan:443",
        "PROXY.lan:443",
        "[fd00::1]",
    ):
        assert not refused(config, host)
    for host in ("192.0.2.7", "rebound.example:8800", "proxy.lan", "proxy.lan:8800"):
        assert refused(config, host)


def test_port_may_be_left_out_where_it_is_that_of_the_scheme() -> None:
    config = ProxyConfig("t" * 16)
    assert not refused(config, "localhost", 80)
    assert refused(config, "localhost", 443)
