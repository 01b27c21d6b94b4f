"""The router's side of the protocol: packages, checks, statuses. The client is Python's `cryptography`."""

from __future__ import annotations

import base64
import functools
import json
import re
import socket
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from nomyo.serve.listener import Listener
from nomyo.serve.router import RouterConfig, RunningRouter
from support.peer import package_for, seal_for
from support.router_peer import (
    COMPLETION_PATH,
    KEY_PATH,
    ask,
    chat,
    detail_of,
    headers,
    peer_key,
    pem_of,
    post,
    reply_of,
    request,
    router_pem,
    send,
)

SMALL: dict[str, Any] = {"key_bits": 2048}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RunningRouter(RouterConfig(**SMALL)) as router:
        yield router.url


# Packages


def test_router_has_a_4096_bit_key_by_default() -> None:
    with RunningRouter() as router:
        key = serialization.load_pem_public_key(router_pem(router.url).encode())
        assert isinstance(key, rsa.RSAPublicKey)
        assert (key.key_size, key.public_numbers().e) == (4096, 65537)
        assert reply_of(ask(router.url, chat("to 4096 bits"))) == "to 4096 bits"


def test_echo_comes_back_sealed_to_the_clients_key(url: str) -> None:
    text = 'Grüße, 世界 \U0001f600 " \\ \x00 \u2028'
    answer = ask(url, chat(text))
    assert reply_of(answer) == text
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "any"
    assert answer["choices"][0]["finish_reason"] == "stop"


def test_response_package_has_the_protocols_form(url: str) -> None:
    asked_at = time.time()
    response = send(url, chat())
    package = json.loads(response.content)
    assert list(package) == [
        "version",
        "algorithm",
        "encrypted_payload",
        "encrypted_aes_key",
        "key_algorithm",
        "payload_algorithm",
        "processed_at",
    ]
    assert package["version"] == "1.0"
    assert package["algorithm"] == "hybrid-aes256-rsa4096"
    assert package["key_algorithm"] == "RSA-OAEP-SHA256"
    assert package["payload_algorithm"] == "AES-256-GCM"
    assert int(asked_at) <= package["processed_at"] <= time.time()
    assert isinstance(package["processed_at"], int)
    sizes = {name: len(base64.b64decode(text)) for name, text in package["encrypted_payload"].items()}
    assert (sizes["nonce"], sizes["tag"]) == (12, 16)
    assert len(base64.b64decode(package["encrypted_aes_key"])) == 256


def test_every_answer_has_a_nonce_of_its_own(url: str) -> None:
    packages = [json.loads(send(url, chat()).content) for _ in range(3)]
    assert len({package["encrypted_payload"]["nonce"] for package in packages}) == 3
    assert len({package["encrypted_aes_key"] for package in packages}) == 3


def test_metadata_tells_tier_and_measured_protection(url: str) -> None:
    metadata = ask(url, chat(), x_security_tier="high")["_metadata"]
    assert metadata["response_status"] == "success"
    assert metadata["security_tier"] == "high"
    assert metadata["memory_protection"]["secure_zeroing"] is True
    assert set(metadata["memory_protection"]) == {
        "platform",
        "memory_locking",
        "secure_zeroing",
        "core_dump_prevention",
    }
    assert metadata["cuda_device"]["available"] is False
    assert re.fullmatch("[0-9a-f]{64}", metadata["cuda_device"]["device_hash"])


def test_tier_is_standard_where_none_is_asked_for(url: str) -> None:
    assert ask(url, chat())["_metadata"]["security_tier"] == "standard"


def test_stream_is_ignored(url: str) -> None:
    assert reply_of(ask(url, chat("whole", stream=True))) == "whole"


@pytest.mark.parametrize(
    "change",
    [
        {"version": "2.0"},
        {"algorithm": "hybrid-aes128-rsa4096"},
        {"encrypted_aes_key": "AAAA"},
        {"encrypted_aes_key": base64.b64encode(b"\x01" * 256).decode()},
        {"encrypted_payload": {}},
        {"encrypted_payload": None},
        {"encrypted_payload": {"ciphertext": "*", "nonce": "AAAAAAAAAAAAAAAA", "tag": "AAAAAAAAAAAAAAAAAAAAAA=="}},
    ],
)
def test_package_that_cannot_be_opened_is_refused_in_the_same_words(url: str, change: dict[str, Any]) -> None:
    package = package_for(router_pem(url), json.dumps(chat()).encode()) | change
    response = post(url, json.dumps(package).encode())
    assert response.status_code == 400
    assert detail_of(response) == "Failed to decrypt the request"


@pytest.mark.parametrize("field", ["ciphertext", "nonce", "tag"])
def test_package_with_a_flipped_bit_is_refused(url: str, field: str) -> None:
    package = package_for(router_pem(url), json.dumps(chat()).encode())
    altered = bytearray(base64.b64decode(package["encrypted_payload"][field]))
    altered[-1] ^= 1
    package["encrypted_payload"][field] = base64.b64encode(altered).decode()
    response = post(url, json.dumps(package).encode())
    assert (response.status_code, detail_of(response)) == (400, "Failed to decrypt the request")


@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"\xff" * 100, b"{}" * 10])
def test_body_that_is_no_package_is_refused_in_the_same_words(url: str, body: bytes) -> None:
    response = post(url, body)
    assert (response.status_code, detail_of(response)) == (400, "Failed to decrypt the request")


def test_package_with_a_short_aes_key_is_refused(url: str) -> None:
    package = package_for(router_pem(url), json.dumps(chat()).encode(), aes_key=b"k" * 16)
    assert post(url, json.dumps(package).encode()).status_code == 400


@pytest.mark.parametrize("plaintext", [b"not json", b"[1]", b'"text"', b'{"model": "m"', b""])
def test_plaintext_that_is_no_json_object_is_refused(url: str, plaintext: bytes) -> None:
    assert post(url, seal_for(router_pem(url), plaintext)).status_code == 400


@pytest.mark.parametrize(
    ("chat_request", "word"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "", "messages": [{"role": "user", "content": "x"}]}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": "secret"}, "messages"),
        ({"model": "m", "messages": ["secret"]}, "role"),
        ({"model": "m", "messages": [{"content": "secret"}]}, "role"),
    ],
)
def test_incomplete_request_is_refused_without_quoting_it(url: str, chat_request: dict[str, Any], word: str) -> None:
    response = send(url, chat_request)
    assert response.status_code == 400
    assert word in detail_of(response)
    assert "secret" not in response.text


# Paths and headers


@pytest.mark.parametrize("path", ["/", "/v1/chat/completions", "/pki", "/pki/public_key/", f"{COMPLETION_PATH}/"])
def test_unknown_path_is_404(url: str, path: str) -> None:
    response = request("GET", url + path)
    assert response.status_code == 404
    assert response.json() == {"detail": "Not Found"}


@pytest.mark.parametrize(("method", "path"), [("GET", COMPLETION_PATH), ("POST", KEY_PATH)])
def test_wrong_method_is_405(url: str, method: str, path: str) -> None:
    response = request(method, url + path)
    assert response.status_code == 405
    assert response.json() == {"detail": "Method Not Allowed"}
    assert "allow" in response.headers


@functools.cache
def _other_keys() -> dict[str, str]:
    curve = ec.generate_private_key(ec.SECP256R1()).public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return {
        "ec": quote(curve.public_bytes(serialization.Encoding.PEM, spki)),
        "small": quote(pem_of(rsa.generate_private_key(65537, 1024))),
        "exponent": quote(pem_of(rsa.generate_private_key(3, 2048))),
    }


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"x_payload_id": None}, "X-Payload-ID"),
        ({"x_payload_id": ""}, "X-Payload-ID"),
        ({"x_payload_id": "1"}, "X-Payload-ID"),
        ({"x_payload_id": "{0e8b8a4e-6f0a-4d4c-9a3e-2f0d6e1b7c55}"}, "X-Payload-ID"),
        ({"content_type": None}, "Content-Type"),
        ({"content_type": "application/json"}, "Content-Type"),
        ({"x_public_key": None}, "X-Public-Key"),
        ({"x_public_key": ""}, "X-Public-Key"),
        ({"x_public_key": "%FF%FE"}, "X-Public-Key"),
        ({"x_public_key": "A" * 20_000}, "X-Public-Key"),
        ({"x_public_key": _other_keys()["ec"]}, "X-Public-Key"),
        ({"x_public_key": _other_keys()["small"]}, "X-Public-Key"),
        ({"x_public_key": _other_keys()["exponent"]}, "X-Public-Key"),
        ({"x_security_tier": ""}, "X-Security-Tier"),
        ({"x_security_tier": "top"}, "X-Security-Tier"),
        ({"x_security_tier": "Standard"}, "X-Security-Tier"),
    ],
)
def test_header_that_is_not_acceptable_is_named(url: str, changed: dict[str, str | None], word: str) -> None:
    response = send(url, chat(), **changed)
    assert response.status_code == 400
    assert word in detail_of(response)


def test_repeated_header_is_refused(url: str) -> None:
    pairs = [*headers().items(), ("X-Payload-ID", "0e8b8a4e-6f0a-4d4c-9a3e-2f0d6e1b7c55")]
    response = request("POST", url + COMPLETION_PATH, content=b"{}", headers=pairs)
    assert (response.status_code, detail_of(response)) == (400, "X-Payload-ID must be given exactly once")


def test_key_quoted_as_encode_uri_component_does_is_accepted(url: str) -> None:
    javascript = quote(pem_of(peer_key()), safe="-_.!~*'()")
    assert reply_of(ask(url, chat("from a browser"), x_public_key=javascript)) == "from a browser"


def test_content_type_may_have_parameters(url: str) -> None:
    assert send(url, chat(), content_type="Application/Octet-Stream; x=y").status_code == 200


# Sizes and times


def test_plaintext_may_be_as_large_as_the_limit_and_not_a_byte_more() -> None:
    room = 2000 - len(json.dumps(chat("")))
    with RunningRouter(RouterConfig(max_plaintext_bytes=2000, **SMALL)) as router:
        assert send(router.url, chat("x" * room)).status_code == 200
        response = send(router.url, chat("x" * (room + 1)))
        assert response.status_code == 413
        assert "2000 bytes" in detail_of(response)


def test_ten_mebibytes_of_plaintext_are_accepted(url: str) -> None:
    room = 10 * 1024 * 1024 - len(json.dumps(chat("")))
    assert len(reply_of(ask(url, chat("x" * room)))) == room
    assert send(url, chat("x" * (room + 1))).status_code == 413


def test_body_beyond_the_limit_is_refused_before_it_is_read() -> None:
    config = RouterConfig(max_plaintext_bytes=1000, **SMALL)
    with RunningRouter(config) as router:
        address = urlsplit(router.url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
            lines = [f"POST {COMPLETION_PATH} HTTP/1.1", "Host: x", f"Content-Length: {10**12}"]
            lines += [f"{name}: {value}" for name, value in headers().items()]
            wire.sendall("\r\n".join([*lines, "", ""]).encode())
            assert b" 413 " in wire.recv(1000)


def test_chunked_body_beyond_the_limit_is_refused() -> None:
    with RunningRouter(RouterConfig(max_plaintext_bytes=1000, **SMALL)) as router:
        chunks = (b"x" * 1000 for _ in range(100))
        response = request("POST", router.url + COMPLETION_PATH, content=chunks, headers=headers())
        assert response.status_code == 413


def test_body_that_does_not_arrive_ends_with_408() -> None:
    with RunningRouter(RouterConfig(body_timeout_s=0.2, **SMALL)) as router:
        address = urlsplit(router.url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
            lines = [f"POST {COMPLETION_PATH} HTTP/1.1", "Host: x", "Content-Length: 1000"]
            lines += [f"{name}: {value}" for name, value in headers().items()]
            wire.sendall("\r\n".join([*lines, "", "x"]).encode())
            assert b" 408 " in wire.recv(1000)


def test_accepted_connections_send_without_delay() -> None:
    # asyncio sets TCP_NODELAY only where the listening socket names its protocol.
    with Listener().bind() as bound:
        assert bound.proto == socket.IPPROTO_TCP
