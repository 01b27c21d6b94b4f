"""TLS: certificates are checked, and a refusal says why without showing anything."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import nomyo
from nomyo.cli.command_app import failure_text
from nomyo.serve.listener import Listener
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.silent import serving
from support.tls import Authority
from support.twins import Twin

HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def https_router(tls_authority: Authority) -> Iterator[RunningRouter]:
    listener = Listener(tls_cert=tls_authority.certificate, tls_key=tls_authority.key)
    with RunningRouter(RouterConfig(key_bits=2048, listener=listener)) as running:
        yield running


def test_certificate_of_a_trusted_authority_is_accepted(
    twin: Twin,
    https_router: RunningRouter,
    tls_authority: Authority,
    key_directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    chat = twin.chat(https_router.url, key_dir=key_directory, allow_http=False)

    assert twin.call(chat.create, model="m", messages=HELLO).choices[0].message.content == "Hello"


def test_unknown_authority_is_refused(
    twin: Twin, https_router: RunningRouter, key_directory: Path, sleeps: list[float]
) -> None:
    chat = twin.chat(https_router.url, key_dir=key_directory, allow_http=False, api_key="secret-token")

    with pytest.raises(nomyo.APIConnectionError, match="certificate") as raised:
        twin.call(chat.create, model="m", messages=HELLO)

    assert raised.value.__context__ is None
    assert (raised.value.untrusted, raised.value.sent, sleeps) == (True, False, [])
    assert "SSL_CERT_FILE" in str(raised.value)
    assert "secret-token" not in str(raised.value)


def test_own_client_brings_its_own_trust(
    https_router: RunningRouter, tls_authority: Authority, key_directory: Path
) -> None:
    context = ssl.create_default_context(cafile=tls_authority.ca)
    with (
        httpx.Client(verify=context) as own,
        nomyo.SyncSecureChatCompletion(https_router.url, key_dir=key_directory, http_client=own) as chat,
    ):
        assert chat.create(model="m", messages=HELLO).choices


def test_plain_http_to_a_tls_port_is_a_connection_error(
    twin: Twin, https_router: RunningRouter, key_directory: Path, sleeps: list[float]
) -> None:
    chat = twin.chat(https_router.url.replace("https:", "http:"), key_dir=key_directory)

    with pytest.raises(nomyo.APIConnectionError, match=r"; if TLS is spoken there, write https://$"):
        twin.call(chat.create, model="m", messages=HELLO)


def test_tls_to_a_plain_port_says_so(
    twin: Twin, router: RunningRouter, key_directory: Path, sleeps: list[float]
) -> None:
    chat = twin.chat(router.url.replace("http:", "https:"), key_dir=key_directory, allow_http=False)

    with pytest.raises(nomyo.APIConnectionError, match=r"^there is no router at .*: an answer without TLS"):
        twin.call(chat.create, model="m", messages=HELLO)


def test_answer_in_clear_within_tls_is_a_lost_connection(
    twin: Twin, tls_authority: Authority, key_directory: Path, monkeypatch: pytest.MonkeyPatch, sleeps: list[float]
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_authority.certificate, tls_authority.key)

    def answer_in_clear(connection: socket.socket, _: threading.Event) -> None:
        connection.settimeout(10)
        connection.recv(65536)
        with socket.socket(fileno=os.dup(connection.fileno())) as below_tls:
            below_tls.sendall(b"HTTP/1.1 408 Request Time-out\r\nConnection: close\r\n\r\n")
            below_tls.shutdown(socket.SHUT_WR)

    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    with serving(answer_in_clear, context) as port:
        chat = twin.chat(f"https://127.0.0.1:{port}", key_dir=key_directory, allow_http=False)
        with pytest.raises(nomyo.APIConnectionError, match=r"^no answer from .* \(3 attempts\): ") as raised:
            twin.call(chat.create, model="m", messages=HELLO)

    assert len(sleeps) == 2
    assert (raised.value.untrusted, raised.value.no_router) == (False, False)
    assert "http://" not in str(raised.value)


def test_address_without_a_router_is_named_once(twin: Twin, router: RunningRouter, key_directory: Path) -> None:
    chat = twin.chat(f"{router.url}/nowhere", key_dir=key_directory)

    with pytest.raises(nomyo.APIError, match=f"^there is no router at {router.url}/nowhere: HTTP 404") as raised:
        twin.call(chat.create, model="m", messages=HELLO)

    assert raised.value.status_code == 404
    assert failure_text(raised.value) == str(raised.value)
