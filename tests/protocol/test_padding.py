"""`pad_requests`: spaces inside the seal hide how long a request and its answer are, and change nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nomyo import _core
from nomyo.serve.router import RouterConfig, RunningRouter
from support.faults import FaultyRouter
from support.padme import padme
from support.peer import opened, plaintext_of, seal_for
from support.router_peer import chat as chat_request
from support.router_peer import detail_of, headers, peer_key, request, router_pem
from support.twins import Twin

QUESTION: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Grüße, 世界"}]}
TIGHT_JSON: dict[str, Any] = {"ensure_ascii": False, "separators": (",", ":")}


def pem_of_pair(key: _core.PrivateKey) -> bytes:
    with key.to_pem() as pem:
        return bytes(pem)


def sealed_and_opened(key: _core.PrivateKey, payload: dict[str, Any], **options: Any) -> bytes:
    return plaintext_of(pem_of_pair(key), _core.seal(payload, key.public_key, padded=True, **options))


def payload_of(length: int) -> dict[str, Any]:
    """Return a payload whose JSON has so many bytes."""
    return {"text": "x" * (length - len('{"text":""}'))}


def test_request_is_padded_to_the_size_of_the_scheme_and_says_the_same(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, pad_requests=True)

    for content in ("", "a" * 57, "b" * 1_000, "c" * 40_000):
        question = {"model": "m", "messages": [{"role": "user", "content": content}]}
        answer = twin.call(chat.create, question)

        text = json.dumps(question, **TIGHT_JSON).encode()
        plaintext = plaintext_of(faulty_router.private_key_pem, faulty_router.posts[-1].body)
        assert plaintext == text.ljust(padme(len(text)))
        assert len(plaintext) <= 1.12 * len(text)
        assert answer.choices[0].message.content == content


def test_package_that_is_only_sealed_is_padded_too(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    client = twin.client(faulty_router.url, key_dir=key_directory, pad_requests=True)

    plaintext = plaintext_of(faulty_router.private_key_pem, twin.call(client.encrypt_payload, QUESTION))

    assert json.loads(plaintext) == QUESTION
    assert len(plaintext) == padme(len(json.dumps(QUESTION, **TIGHT_JSON).encode()))


def test_nothing_is_padded_and_no_answer_asked_for_that_is_by_default(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    twin.call(twin.chat(faulty_router.url, key_dir=key_directory).create, QUESTION)

    (post,) = faulty_router.posts
    assert plaintext_of(faulty_router.private_key_pem, post.body) == json.dumps(QUESTION, **TIGHT_JSON).encode()
    assert "x-response-padding" not in post.headers


@pytest.mark.parametrize("padded", [True, False])
def test_answer_is_padded_if_the_request_says_so_and_both_ways_of_opening_read_it(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, client_key: _core.PrivateKey, padded: bool
) -> None:
    answers: list[bytes] = []
    faulty_router.change = lambda package: answers.append(package) or package  # type: ignore[func-returns-value]
    chat = twin.chat(faulty_router.url, key_dir=key_directory, pad_requests=padded)

    plain = twin.call(chat.create, QUESTION)
    secret = twin.call(chat.create_secure, QUESTION)

    assert plain.choices[0].message.content == "Grüße, 世界"
    with secret:
        assert bytes(secret.content).decode() == "Grüße, 世界"
        assert json.loads(bytes(secret.json))["object"] == "chat.completion"
    for answer in answers:
        plaintext = plaintext_of(pem_of_pair(client_key), answer)
        text = plaintext.rstrip(b" ")
        assert len(plaintext) == (padme(len(text)) if padded else len(text))


def test_router_pads_for_a_client_of_somebody_else() -> None:
    with RunningRouter(RouterConfig(key_bits=2048)) as router:
        body = seal_for(router_pem(router.url), chat_request("x" * 333))
        answered = request(
            "POST",
            f"{router.url}/v1/chat/secure_completion",
            content=body,
            headers={**headers(), "X-Response-Padding": "padme"},
        )
        refused = request(
            "POST",
            f"{router.url}/v1/chat/secure_completion",
            content=body,
            headers={**headers(), "X-Response-Padding": "bucket"},
        )

    ours, _ = opened(peer_key(), answered.content)
    assert len(ours) == padme(len(ours.rstrip(b" ")))
    assert json.loads(ours)["choices"][0]["message"]["content"] == "x" * 333
    assert (refused.status_code, detail_of(refused)) == (400, "X-Response-Padding must be padme")


@pytest.mark.parametrize("length", [50, 64, 65, 127, 1_000, 4_097, 32_768, 32_769, 65_536, 100_000, 1_000_003])
def test_every_size_has_its_padding_around_the_windows_of_the_sealer_too(
    client_key: _core.PrivateKey, length: int
) -> None:
    payload = payload_of(length)

    assert sealed_and_opened(client_key, payload) == json.dumps(payload, **TIGHT_JSON).encode().ljust(padme(length))


@pytest.mark.parametrize(("length", "limit_bytes"), [(1_000, 1_010), (1_000, 1_000), (40_000, 40_001)])
def test_padding_ends_at_the_limit(client_key: _core.PrivateKey, length: int, limit_bytes: int) -> None:
    assert padme(length) > limit_bytes or length == limit_bytes

    plaintext = sealed_and_opened(client_key, payload_of(length), limit_bytes=limit_bytes)

    assert len(plaintext) == limit_bytes
    assert json.loads(plaintext) == payload_of(length)


def test_payload_beyond_the_limit_is_refused_as_without_padding(client_key: _core.PrivateKey) -> None:
    with pytest.raises(ValueError, match="beyond 1000 bytes of JSON"):
        _core.seal(payload_of(1_001), client_key.public_key, limit_bytes=1_000, padded=True)


def test_largest_request_is_padded_up_to_the_bound_of_the_protocol(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    bound = 10 * 1024 * 1024
    client = twin.client(faulty_router.url, key_dir=key_directory, pad_requests=True)

    package = json.loads(twin.call(client.encrypt_payload, payload_of(bound - 5)))

    text = package["encrypted_payload"]["ciphertext"]
    assert len(text) // 4 * 3 - text.count("=") == bound


def test_option_of_another_type_is_refused(twin: Twin) -> None:
    with pytest.raises(TypeError, match="pad_requests must be a bool"):
        twin.chat("http://127.0.0.1:9", pad_requests="yes")
