"""What a malformed, altered, oversized or misleading answer gets: one opaque error, no memory, no redirect."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import _core
from support.faults import PUBLIC_KEY, Answer, FaultyRouter
from support.peer import package_for, seal_for
from support.twins import Twin

HELLO = [{"role": "user", "content": "Hello"}]
OPAQUE = "the package cannot be opened: malformed, altered, or sealed for another key"
NOT_JSON = "the package was opened, but what was sealed in it is not JSON as expected: one object in UTF-8"

Package = dict[str, Any]


def _without(*path: str) -> Callable[[Package], bytes]:
    def mutate(package: Package) -> bytes:
        target = package
        for name in path[:-1]:
            target = target[name]
        del target[path[-1]]
        return json.dumps(package).encode()

    return mutate


def _with(value: Any, *path: str) -> Callable[[Package], bytes]:
    def mutate(package: Package) -> bytes:
        target = package
        for name in path[:-1]:
            target = target[name]
        target[path[-1]] = value(target[path[-1]]) if callable(value) else value
        return json.dumps(package).encode()

    return mutate


def _text(change: Callable[[bytes], bytes]) -> Callable[[Package], bytes]:
    return lambda package: change(json.dumps(package).encode())


def _flipped(text: str) -> str:
    raw = bytearray(base64.b64decode(text))
    raw[len(raw) // 2] ^= 1
    return base64.b64encode(raw).decode()


def _shorter(text: str) -> str:
    return base64.b64encode(base64.b64decode(text)[:-1]).decode()


def _longer(text: str) -> str:
    return base64.b64encode(base64.b64decode(text) + b"\0").decode()


def _repeated(name: str) -> Callable[[bytes], bytes]:
    """Write a field a second time, with its own value: whoever compares parsers would choose another one."""
    return lambda text: text.replace(
        f'"{name}":'.encode(), f'"{name}": {json.dumps(_find(json.loads(text), name))}, "{name}":'.encode(), 1
    )


def _find(package: Package, name: str) -> Any:
    return package.get(name, package["encrypted_payload"].get(name))


FIELDS = [
    "version",
    "algorithm",
    "encrypted_payload",
    "encrypted_aes_key",
    "key_algorithm",
    "payload_algorithm",
]
INNER = ["ciphertext", "nonce", "tag"]

MUTATIONS: dict[str, Callable[[Package], bytes]] = {
    **{f"no {name}": _without(name) for name in FIELDS},
    **{f"no {name}": _without("encrypted_payload", name) for name in INNER},
    **{f"{name} is a number": _with(7, name) for name in FIELDS},
    **{f"{name} is null": _with(None, "encrypted_payload", name) for name in INNER},
    **{f"{name} is repeated": _text(_repeated(name)) for name in FIELDS + INNER},
    "another version": _with("2.0", "version"),
    "another algorithm": _with("rot13", "algorithm"),
    "another key algorithm": _with("RSA-PKCS1", "key_algorithm"),
    "another payload algorithm": _with("AES-128-CBC", "payload_algorithm"),
    "processed_at is text": _with("now", "processed_at"),
    "payload is a list": _with([], "encrypted_payload"),
    **{f"{name} altered": _with(_flipped, "encrypted_payload", name) for name in INNER},
    **{f"{name} too short": _with(_shorter, "encrypted_payload", name) for name in INNER},
    **{f"{name} too long": _with(_longer, "encrypted_payload", name) for name in INNER},
    "key altered": _with(_flipped, "encrypted_aes_key"),
    "key too short": _with(_shorter, "encrypted_aes_key"),
    "key too long": _with(_longer, "encrypted_aes_key"),
    "key empty": _with("", "encrypted_aes_key"),
    "base64 without padding": _with(lambda text: text.rstrip("="), "encrypted_payload", "tag"),
    "base64 of the URL alphabet": _with(lambda text: "-_" + text[2:], "encrypted_payload", "ciphertext"),
    "base64 with a space": _with(lambda text: text[:4] + " " + text[4:], "encrypted_payload", "ciphertext"),
    "base64 with stray bits": _with(lambda text: text[:-3] + "B==", "encrypted_payload", "tag"),
    "truncated": _text(lambda text: text[:-1]),
    "half": _text(lambda text: text[: len(text) // 2]),
    "empty": _text(lambda _: b""),
    "trailing byte": _text(lambda text: text + b"x"),
    "two packages": _text(lambda text: text + text),
    "a list": _text(lambda text: b"[" + text + b"]"),
    "not JSON": _text(lambda _: b"<html></html>"),
    "not UTF-8": _text(lambda text: text.replace(b'"1.0"', b'"1.0\xff"')),
    "byte order mark": _text(lambda text: b"\xef\xbb\xbf" + text),
    "deep nesting": _text(lambda text: text[:-1] + b', "x": ' + b"[" * 100_000 + b"}"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_response_gives_one_opaque_error(
    twin: Twin, faulty_router: FaultyRouter, client_key: _core.PrivateKey, key_directory: Path, name: str
) -> None:
    faulty_router.change = lambda _: MUTATIONS[name](package_for(client_key.public_key.pem, b'{"id": "x"}'))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.SecurityError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)

    assert str(raised.value) == OPAQUE
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert len(faulty_router.posts) == 1


@pytest.mark.parametrize(
    "text",
    [b"[]", b'"text"', b"null", b"", b"{", b'{"a": nan}', b'{"a": 1} x', b'{"a": "\xff"}', b'{"a": ' + b"[" * 300],
    ids=lambda text: text[:12],
)
def test_plaintext_behind_a_genuine_tag_that_is_no_json_object_says_so(
    twin: Twin, faulty_router: FaultyRouter, client_key: _core.PrivateKey, key_directory: Path, text: bytes
) -> None:
    faulty_router.change = lambda _: seal_for(client_key.public_key.pem, text)
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.SecurityError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)

    assert str(raised.value).startswith(NOT_JSON)
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_wrapped_key_of_another_length_gives_the_same_error(
    twin: Twin, faulty_router: FaultyRouter, client_key: _core.PrivateKey, key_directory: Path, length: int
) -> None:
    from cryptography.hazmat.primitives import serialization

    from support.peer import OAEP

    def mutate(_: bytes) -> bytes:
        package = package_for(client_key.public_key.pem, b"{}")
        public_key: Any = serialization.load_pem_public_key(client_key.public_key.pem.encode())
        package["encrypted_aes_key"] = base64.b64encode(public_key.encrypt(b"k" * length, OAEP)).decode()
        return json.dumps(package).encode()

    faulty_router.change = mutate
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.SecurityError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)

    assert str(raised.value) == OPAQUE


def test_answer_sealed_for_another_key_gives_the_same_error(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    other = _core.PrivateKey.generate(2048)
    faulty_router.change = lambda _: seal_for(other.public_key.pem, {"id": "x"})
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.SecurityError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)

    assert str(raised.value) == OPAQUE


def test_fields_in_another_order_and_unknown_fields_open(
    twin: Twin, faulty_router: FaultyRouter, client_key: _core.PrivateKey, key_directory: Path
) -> None:
    def shuffled(_: bytes) -> bytes:
        package = package_for(client_key.public_key.pem, b'{"id": "x"}')
        package = {"extra": [{"nested": True}], "processed_at": 1.5, **dict(reversed(package.items()))}
        return b" \n" + json.dumps(package, indent=3).replace("/", "\\/").encode() + b"\r\n"

    faulty_router.change = shuffled
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    assert twin.call(chat.create, model="m", messages=HELLO).id == "x"


def test_compressed_response_is_refused_unread(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    faulty_router.change = gzip.compress
    faulty_router.change_headers = {"content-encoding": "gzip"}
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.SecurityError, match="compressed"):
        twin.call(chat.create, model="m", messages=HELLO)


def test_compressed_error_body_gives_the_right_class(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    body = gzip.compress(b'{"detail": "x"}')
    faulty_router.answers.append(Answer(401, body, {"content-encoding": "gzip"}))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.AuthenticationError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)

    assert raised.value.error_details is None


def test_cookie_is_not_sent_back(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    faulty_router.change = lambda body: body
    faulty_router.change_headers = {"set-cookie": "who=you; Path=/"}
    chat = twin.chat(faulty_router.url.replace("127.0.0.1", "localhost"), key_dir=key_directory)

    for key in ("one", "another"):
        twin.call(chat.create, model="m", messages=HELLO, api_key=key)

    assert ["cookie" in post.headers for post in faulty_router.posts] == [False, False]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_not_followed(twin: Twin, faulty_router: FaultyRouter, key_directory: Path, status: int) -> None:
    faulty_router.answers.append(Answer(status, b"", {"location": f"{faulty_router.url}/pki/public_key"}))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.APIError) as raised:
        twin.call(chat.create, model="m", messages=HELLO)

    assert raised.value.status_code == status
    assert len(faulty_router.received) == 2


@pytest.mark.parametrize(
    "body",
    [b"", b"no key", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"x" * 20_000, b"\xff\xfe"],
    ids=["empty", "text", "damaged", "too large", "not UTF-8"],
)
def test_unacceptable_server_key_is_refused(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, body: bytes
) -> None:
    faulty_router.path = PUBLIC_KEY
    faulty_router.answers.append(Answer(200, body))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.SecurityError):
        twin.call(chat.create, model="m", messages=HELLO)

    assert faulty_router.posts == []


@pytest.mark.parametrize("kind", ["rsa-1024", "exponent-3", "elliptic curve", "rsa-16384"])
def test_weak_or_foreign_server_key_is_refused(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, kind: str
) -> None:
    faulty_router.path = PUBLIC_KEY
    faulty_router.answers.append(Answer(200, _weak_key(kind)))
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    with pytest.raises(nomyo.SecurityError):
        twin.call(chat.create, model="m", messages=HELLO)

    assert faulty_router.posts == []


def _weak_key(kind: str) -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key: Any
    if kind == "elliptic curve":
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
    elif kind == "rsa-16384":
        key = rsa.RSAPublicNumbers(65537, (1 << 16383) | 1).public_key()
    elif kind == "exponent-3":
        key = rsa.generate_private_key(public_exponent=3, key_size=2048).public_key()
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    encoded: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded
