"""Seal and open over size, against `cryptography` and `json` put together by hand in the same run."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nomyo import SecureBuffer, _core

SIZES = {"200B": 200, "10KB": 10_000, "100KB": 100_000, "1MB": 1_000_000, "8.5MB": 8_500_000}
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
PIECE = 'He said "n\u00e9e" and\nleft; \u4f60\u597d. Plain words follow, as they mostly do in a text of this kind. '


def payload(size: int) -> dict[str, Any]:
    text = (PIECE * (size // len(PIECE) + 1))[:size]
    return {"model": "m", "messages": [{"role": "user", "content": text}]}


@pytest.fixture(scope="module")
def ours() -> _core.PrivateKey:
    return _core.PrivateKey.generate(4096)


@pytest.fixture(scope="module")
def theirs(ours: _core.PrivateKey) -> rsa.RSAPrivateKey:
    with ours.to_pem() as pem:
        key = serialization.load_pem_private_key(bytes(pem), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return key


def seal_by_hand(content: dict[str, Any], key: rsa.RSAPublicKey) -> bytes:
    aes_key, nonce = AESGCM.generate_key(256), os.urandom(12)
    sealed = AESGCM(aes_key).encrypt(nonce, json.dumps(content, ensure_ascii=False).encode(), None)
    inner = {"ciphertext": sealed[:-16], "nonce": nonce, "tag": sealed[-16:]}
    package = {
        "version": "1.0",
        "algorithm": "hybrid-aes256-rsa4096",
        "encrypted_payload": {name: base64.b64encode(raw).decode() for name, raw in inner.items()},
        "encrypted_aes_key": base64.b64encode(key.encrypt(aes_key, OAEP)).decode(),
        "key_algorithm": "RSA-OAEP-SHA256",
        "payload_algorithm": "AES-256-GCM",
    }
    return json.dumps(package).encode()


def open_by_hand(package: bytes, key: rsa.RSAPrivateKey) -> Any:
    parsed = json.loads(package)
    inner = {name: base64.b64decode(text) for name, text in parsed["encrypted_payload"].items()}
    aes_key = key.decrypt(base64.b64decode(parsed["encrypted_aes_key"]), OAEP)
    return json.loads(AESGCM(aes_key).decrypt(inner["nonce"], inner["ciphertext"] + inner["tag"], None))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("who", ["nomyo", "nomyo secret", "by hand"])
def test_seal(benchmark: Any, ours: _core.PrivateKey, theirs: rsa.RSAPrivateKey, who: str, size: str) -> None:
    benchmark.group = f"seal {size}"
    content, public_key = payload(SIZES[size]), theirs.public_key()
    if who == "nomyo":
        package = benchmark(_core.seal, content, ours.public_key)
    elif who == "nomyo secret":
        with SecureBuffer(content["messages"][0]["content"].encode()) as buffer:
            secret = {"model": "m", "messages": [{"role": "user", "content": buffer}]}
            package = benchmark(_core.seal, secret, ours.public_key)
    else:
        package = benchmark(seal_by_hand, content, public_key)
    assert open_by_hand(package, theirs) == content


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("who", ["nomyo", "nomyo secret", "by hand"])
def test_open(benchmark: Any, ours: _core.PrivateKey, theirs: rsa.RSAPrivateKey, who: str, size: str) -> None:
    benchmark.group = f"open {size}"
    content = payload(SIZES[size])
    package = seal_by_hand(content, theirs.public_key())
    if who == "nomyo":
        opened = benchmark(_core.open_package, package, ours)[0]
    elif who == "nomyo secret":
        opened = json.loads(bytes(benchmark(_core.open_secret, package, ours)[0]))
    else:
        opened = benchmark(open_by_hand, package, theirs)
    assert opened == content
