"""A proxy of the environment that does not work is told at once, by its variable, not by the router."""

from __future__ import annotations

import json
import os
import pickle
import re
import socket
import ssl
import subprocess
import sys
import threading
from collections import deque
from pathlib import Path

import httpcore
import httpx
import openai
import pytest

import nomyo
from nomyo.openai_form.chat_form import ChatForm
from nomyo.serve.listener import Listener
from nomyo.serve.proxy.failures import refusal_for
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.environment_proxy import HELLO, HTML, NOWHERE, failed, proxy
from support.faults import COMPLETION, PUBLIC_KEY, Answer, FaultyRouter
from support.sdk import Sdk
from support.silent import serving
from support.tls import Authority
from support.twins import Twin

pytestmark = pytest.mark.usefixtures("_nothing_of_this_machine")


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden", "302 Found", "501 No"])
def test_proxy_that_refuses_to_connect_is_told_at_once(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float], status: str
) -> None:
    with proxy(status) as (port, told):
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:secret@127.0.0.1:{port}")
        error = failed(twin, NOWHERE, key_directory, nomyo.ConfigurationError)
        assert f"HTTPS_PROXY (http://127.0.0.1:{port}) refused with HTTP {status[:3]}" in str(error)
        assert told.lines == ["CONNECT router.invalid:443 HTTP/1.1"]
        assert told.credentials == ["Basic bWU6c2VjcmV0"]
    assert sleeps == []


def test_proxy_that_refuses_at_length_is_told_with_its_status(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy("403 Forbidden\r\nX-Reason: " + "x" * 30_000) as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        error = failed(twin, NOWHERE, key_directory, nomyo.ConfigurationError)
    assert "refused with HTTP 403" in str(error)


@pytest.mark.parametrize("status", ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"])
def test_proxy_that_cannot_reach_the_router_now_is_asked_again(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float], status: str
) -> None:
    with proxy(status) as (port, told):
        monkeypatch.setenv("all_proxy", f"127.0.0.1:{port}")
        error = failed(twin, NOWHERE, key_directory, nomyo.APIConnectionError)
        assert f"all_proxy (http://127.0.0.1:{port}) refused with HTTP {status[:3]}" in str(error)
        assert len(told.lines) == 3
    assert sleeps == [1.0, 2.0]


@pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "403 Forbidden"])
def test_proxy_that_refuses_a_plain_request_is_told_at_once(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float], status: str
) -> None:
    with proxy(status) as (port, told):
        monkeypatch.setenv("HTTP_PROXY", f"http://me:secret@127.0.0.1:{port}")
        error = failed(twin, "http://router.invalid", key_directory, nomyo.ConfigurationError)
        assert f"HTTP_PROXY (http://127.0.0.1:{port}) refused with HTTP {status[:3]}" in str(error)
        assert told.lines == ["GET http://router.invalid/pki/public_key HTTP/1.1"]
        assert told.credentials == ["Basic bWU6c2VjcmV0"]
    assert sleeps == []


def test_routers_own_403_through_a_proxy_stays_the_routers(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy("403 Forbidden", body=b'{"detail": "not this model"}') as (port, _):
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        chat = twin.chat("http://router.invalid", key_dir=key_directory)
        with pytest.raises(nomyo.ForbiddenError, match="not this model"):
            twin.call(chat.create, model="m", messages=HELLO)


@pytest.mark.parametrize("status", [403, 407])
@pytest.mark.parametrize("body", [HTML, b""], ids=["page", "empty"])
def test_answer_that_came_through_a_tunnel_is_the_routers_whatever_its_form(
    twin: Twin,
    key_directory: Path,
    tls_authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    body: bytes,
) -> None:
    listener = Listener(tls_cert=tls_authority.certificate, tls_key=tls_authority.key)
    with FaultyRouter(RouterConfig(key_bits=2048, listener=listener)) as faulty, proxy() as (port, told):
        faulty.answers.append(Answer(status, body))
        monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        chat = twin.chat(faulty.url, key_dir=key_directory, allow_http=False)
        with pytest.raises(nomyo.ForbiddenError if status == 403 else nomyo.APIError) as raised:
            twin.call(chat.create, model="m", messages=HELLO)
        assert (raised.value.status_code, raised.value.sent) == (status, True)
        assert told.lines
        chat.dispose()


def test_proxy_that_refuses_after_a_prompt_was_sent_does_not_hide_that(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]
) -> None:
    key = httpx.get(faulty_router.url + PUBLIC_KEY, trust_env=False).content
    far = "http://router.invalid"
    faulty_router.path = far + COMPLETION  # as a proxy is asked
    faulty_router.by_path[far + PUBLIC_KEY] = deque([Answer(200, key)])
    faulty_router.answers.extend([Answer(503), Answer(407)])
    monkeypatch.setenv("HTTP_PROXY", faulty_router.url)
    chat = twin.chat(far, key_dir=key_directory)
    with pytest.raises(nomyo.ConfigurationError, match="refused with HTTP 407") as raised:
        twin.call(chat.create, model="m", messages=HELLO)
    assert raised.value.sent
    assert pickle.loads(pickle.dumps(raised.value)).sent
    assert sleeps == [1.0]


@pytest.mark.parametrize("raised", [httpcore.ProxyError("no status"), httpcore.PoolTimeout("odd")])
def test_what_httpcore_says_in_words_of_another_version_is_no_answer(
    key_directory: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float], raised: Exception
) -> None:
    def fail(*_: object) -> None:
        raise raised

    monkeypatch.setattr(httpcore.HTTPConnection, "handle_request", fail)
    with (
        nomyo.SyncSecureChatCompletion("http://127.0.0.1:9", True, key_dir=key_directory) as chat,
        pytest.raises(nomyo.APIConnectionError, match="the connection failed or was closed"),
    ):
        chat.create(model="m", messages=HELLO)
    assert sleeps == [1.0, 2.0]


@pytest.mark.parametrize("url", [NOWHERE, "http://router.invalid"])
def test_proxy_that_refuses_connections_is_told_at_once(
    twin: Twin,
    key_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    sleeps: list[float],
    unused_port: int,
    url: str,
) -> None:
    monkeypatch.setenv("ALL_PROXY", f"http://me:secret@127.0.0.1:{unused_port}")
    error = failed(twin, url, key_directory, nomyo.ConfigurationError)
    assert f"ALL_PROXY (http://127.0.0.1:{unused_port}) cannot be reached: Connection refused" in str(error)
    assert sleeps == []


@pytest.mark.parametrize("url", [NOWHERE, "http://router.invalid"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("untrusted", "cannot be reached: the certificate was refused: unable to get local issuer certificate"),
        ("plain", r"cannot be reached: an answer without TLS came \(is it http://\?\)"),
        ("closed", "cannot be reached: "),
    ],
)
def test_proxy_whose_tls_fails_is_told_at_once(
    twin: Twin,
    key_directory: Path,
    tls_authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    sleeps: list[float],
    url: str,
    kind: str,
    reason: str,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tls_authority.certificate, tls_authority.key)

    def plain(connection: socket.socket, _: threading.Event) -> None:
        connection.recv(65536)
        if kind == "plain":
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)

    with proxy(context=context) if kind == "untrusted" else serving(plain) as served:
        port = served[0] if isinstance(served, tuple) else served
        monkeypatch.setenv("ALL_PROXY", f"https://me:secret@127.0.0.1:{port}")
        error = failed(twin, url, key_directory, nomyo.ConfigurationError)
    assert re.search(rf"ALL_PROXY \(https://127\.0\.0\.1:{port}\) {reason}", str(error))
    assert sleeps == []


def test_proxy_whose_name_is_not_found_is_told_at_once(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]
) -> None:
    def not_found(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", not_found)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:3128")
    error = failed(twin, NOWHERE, key_directory, nomyo.ConfigurationError)
    assert "HTTPS_PROXY (http://proxy.invalid:3128) cannot be reached: the host's name was not found" in str(error)
    assert sleeps == []


@pytest.mark.parametrize("kind", ["http", "https"])
def test_request_goes_through_a_tunnel_with_credentials_and_a_proxy_that_then_goes_away_is_waited_for(
    twin: Twin,
    https_router: RunningRouter,
    tls_authority: Authority,
    key_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
    sleeps: list[float],
    kind: str,
) -> None:
    context = None
    if kind == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls_authority.certificate, tls_authority.key)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    with proxy(context=context) as (port, told):
        monkeypatch.setenv("HTTPS_PROXY", f"{kind}://d%40me:p%3Ass@127.0.0.1:{port}")
        chat = twin.chat(https_router.url, key_dir=key_directory, allow_http=False)
        assert twin.call(chat.create, model="m", messages=HELLO).choices[0].message.content == "Hello"
        assert set(told.lines) == {f"CONNECT {https_router.url.removeprefix('https://')} HTTP/1.1"}
        assert set(told.credentials) == {"Basic ZEBtZTpwOnNz"}
    with pytest.raises(nomyo.APIConnectionError, match=r"HTTPS_PROXY|closed") as raised:
        twin.call(chat.create, model="m", messages=HELLO)
    assert type(raised.value) is nomyo.APIConnectionError
    assert sleeps == [1.0, 2.0]


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4"])
def test_socks_proxy_is_refused_before_anything_is_sent(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float], scheme: str
) -> None:
    with proxy("200 OK") as (port, told):
        monkeypatch.setenv("ALL_PROXY", f"{scheme}://me:secret@127.0.0.1:{port}")
        error = failed(twin, NOWHERE, key_directory, nomyo.ConfigurationError)
        assert f"ALL_PROXY names a SOCKS proxy ({scheme}://127.0.0.1:{port})" in str(error)
        assert told.lines == []
    assert sleeps == []


@pytest.mark.parametrize(
    ("url", "value", "told"),
    [
        (NOWHERE, "socks5://127.0.0.1:9", "(http://HOST:PORT) in HTTPS_PROXY"),
        ("http://router.invalid", "socks5://127.0.0.1:9", "(http://HOST:PORT) in HTTP_PROXY"),
        (NOWHERE, "ftp://me:secret@127.0.0.1:9", "(ftp://127.0.0.1:9): expected http://HOST:PORT"),
        (NOWHERE, "secret://127.0.0.1:9", "(...://127.0.0.1:9): expected http://HOST:PORT"),
    ],
)
def test_proxy_of_another_kind_is_told_with_what_to_name_instead(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch, url: str, value: str, told: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    assert told in str(failed(twin, url, key_directory, nomyo.ConfigurationError))


def test_batch_stops_at_once_where_the_proxy_refuses(
    key_directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    row = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m", "messages": HELLO}}
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text(json.dumps(row) + "\n")
    with proxy("407 No") as (port, told):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with pytest.raises(nomyo.ConfigurationError, match=r"HTTPS_PROXY .* refused with HTTP 407"):
            nomyo.batch.run(source, output, base_url=NOWHERE, key_dir=key_directory)
        assert len(told.lines) == 1
    assert not output.exists() or output.read_bytes() == b""


def test_sdk_does_not_ask_again_where_the_proxy_refuses(
    sdk: Sdk, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxy("407 No") as (port, told):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        client = sdk.client(NOWHERE, key_dir=key_directory, max_retries=2)
        with pytest.raises(nomyo.ConfigurationError, match="refused with HTTP 407") as raised:
            sdk.call(client.chat.completions.create, model="m", messages=HELLO)
        assert isinstance(raised.value, openai.OpenAIError)
        assert len(told.lines) == 1


def test_proxy_answers_a_configuration_error_so_that_nobody_asks_again() -> None:
    refusal = refusal_for(nomyo.ConfigurationError("HTTPS_PROXY (http://proxy.example:1) refused"))
    assert refusal is not None
    assert refusal.response(ChatForm()).headers["x-should-retry"] == "false"
    assert (refusal.status, refusal.code) == (502, "proxy_configuration")
    assert "HTTPS_PROXY" in refusal.message


def test_command_says_which_variable_it_is(key_directory: Path) -> None:
    environment = {**os.environ, "HTTPS_PROXY": "socks5://me:secret@127.0.0.1:9", "NO_PROXY": ""}
    command = [sys.executable, "-m", "nomyo", "chat", "--base-url", NOWHERE, "--model", "m", "--key-dir"]
    done = subprocess.run(
        [*command, str(key_directory), "Hello"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "HTTPS_PROXY names a SOCKS proxy (socks5://127.0.0.1:9)" in done.stderr
    assert "secret" not in done.stderr


def test_success_of_connect_that_is_no_tunnel_is_told_at_once(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]
) -> None:
    with proxy("204 No Content", body=b"") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        error = failed(twin, NOWHERE, key_directory, nomyo.ConfigurationError)
        assert "refused with HTTP 204" in str(error)
    assert sleeps == []


def test_proxy_that_refuses_with_long_headers_is_told_for_a_proxy(
    twin: Twin, key_directory: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]
) -> None:
    with proxy(f"407 Proxy Authentication Required\r\nX-Long: {'x' * 50_000}") as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        error = failed(twin, NOWHERE, key_directory, nomyo.ConfigurationError)
        assert f"HTTPS_PROXY (http://127.0.0.1:{port})" in str(error)
    assert sleeps == []
