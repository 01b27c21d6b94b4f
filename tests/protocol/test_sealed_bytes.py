"""Bytes sealed for a key and bound to what they are for; Python's `cryptography` is the other side."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nomyo import DisposedError, SecurityError, _core
from support import peer

CONTEXT = b"a test"
CONTENTS = [b"", b"x", b"{}\n", bytes(range(256)), b"long" * 100_000]


@pytest.fixture(scope="module")
def theirs(client_key: _core.PrivateKey) -> rsa.RSAPrivateKey:
    key = serialization.load_pem_private_key(bytes(client_key.to_pem()), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


@pytest.mark.parametrize("content", CONTENTS, ids=len)
def test_another_implementation_opens_what_was_sealed(
    content: bytes, client_key: _core.PrivateKey, theirs: rsa.RSAPrivateKey
) -> None:
    package = _core.seal_bytes(content, client_key.public_key, CONTEXT)
    assert peer.opened(theirs, package, CONTEXT)[0] == content
    for other in (None, b"", b"another"):
        with pytest.raises(InvalidTag):
            peer.opened(theirs, package, other)


@pytest.mark.parametrize("content", CONTENTS, ids=len)
def test_what_another_implementation_sealed_is_opened_into_locked_memory(
    content: bytes, client_key: _core.PrivateKey
) -> None:
    package = peer.package_for(client_key.public_key.pem, content, context=CONTEXT)
    with _core.open_bytes(json.dumps(package).encode(), client_key, CONTEXT) as opened:
        assert bytes(opened) == content


def test_message_of_the_protocol_and_bound_bytes_do_not_open_as_each_other(client_key: _core.PrivateKey) -> None:
    message = _core.seal({"a": 1}, client_key.public_key)
    bound = _core.seal_bytes(b'{"a":1}', client_key.public_key, CONTEXT)
    attempts: list[Any] = [
        lambda: _core.open_bytes(message, client_key, CONTEXT),
        lambda: _core.open_bytes(bound, client_key, CONTEXT + b"!"),
        lambda: _core.open_package(bound, client_key),
        lambda: _core.open_secret(bound, client_key),
    ]
    for attempt in attempts:
        with pytest.raises(SecurityError, match="the package cannot be opened"):
            attempt()


def test_context_cannot_be_left_empty(client_key: _core.PrivateKey) -> None:
    with pytest.raises(ValueError, match="context"):
        _core.seal_bytes(b"x", client_key.public_key, b"")
    with pytest.raises(ValueError, match="context"):
        _core.open_bytes(b"{}", client_key, b"")


def test_every_failure_reads_the_same(client_key: _core.PrivateKey) -> None:
    package = _core.seal_bytes(b"content", client_key.public_key, CONTEXT)
    other = _core.PrivateKey.generate(2048)
    words = set()
    for broken, key in [(package[:-1], client_key), (b"", client_key), (package, other)]:
        with pytest.raises(SecurityError) as caught:
            _core.open_bytes(broken, key, CONTEXT)
        words.add(str(caught.value))
        assert caught.value.__cause__ is caught.value.__context__ is None
    assert len(words) == 1
    other.wipe()
    with pytest.raises(DisposedError):
        _core.open_bytes(package, other, CONTEXT)


def test_other_types_are_refused(client_key: _core.PrivateKey) -> None:
    key: Any = client_key.public_key
    for content, context in [("text", CONTEXT), (bytearray(b"x"), CONTEXT), (b"x", "a test")]:
        with pytest.raises(TypeError):
            _core.seal_bytes(content, key, context)  # type: ignore[arg-type]
