"""The other side of the wire, written with Python's `cryptography`: an independent judge."""

from __future__ import annotations

import base64
import functools
import json
import os
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def open_with(private_key_pem: bytes, package: bytes) -> Any:
    """Open a package and return its JSON."""
    return json.loads(plaintext_of(private_key_pem, package))


def plaintext_of(private_key_pem: bytes, package: bytes) -> bytes:
    return opened(private_key_of(private_key_pem), package)[0]


@functools.lru_cache(maxsize=32)  # a key is checked as it is loaded: 45 ms for 2048 bits
def private_key_of(pem: bytes, password: bytes | None = None) -> rsa.RSAPrivateKey:
    private_key = serialization.load_pem_private_key(pem, password)
    assert isinstance(private_key, rsa.RSAPrivateKey)
    return private_key


def opened(private_key: rsa.RSAPrivateKey, package: bytes, context: bytes | None = None) -> tuple[bytes, bytes]:
    """Open a package, bound to a context or a message: its plaintext, and the AES key that it was sealed with."""
    parsed = json.loads(package)
    payload = parsed["encrypted_payload"]
    aes_key = private_key.decrypt(base64.b64decode(parsed["encrypted_aes_key"]), OAEP)
    sealed = base64.b64decode(payload["ciphertext"]) + base64.b64decode(payload["tag"])
    return AESGCM(aes_key).decrypt(base64.b64decode(payload["nonce"]), sealed, context), aes_key


def seal_for(public_key_pem: str, content: Any, *, outer: dict[str, Any] | None = None) -> bytes:
    """Seal JSON (or the very bytes given) for a key."""
    text = content if isinstance(content, bytes) else json.dumps(content).encode()
    return json.dumps({**package_for(public_key_pem, text), **(outer or {})}).encode()


def package_for(
    public_key_pem: str,
    text: bytes,
    *,
    aes_key: bytes | None = None,
    nonce: bytes | None = None,
    context: bytes | None = None,
) -> dict[str, Any]:
    public_key = serialization.load_pem_public_key(public_key_pem.encode())
    assert isinstance(public_key, rsa.RSAPublicKey)
    aes_key = AESGCM.generate_key(256) if aes_key is None else aes_key
    nonce = os.urandom(12) if nonce is None else nonce
    sealed = AESGCM(aes_key).encrypt(nonce, text, context)
    return {
        "version": "1.0",
        "algorithm": "hybrid-aes256-rsa4096",
        "encrypted_payload": {
            "ciphertext": _text(sealed[:-16]),
            "nonce": _text(nonce),
            "tag": _text(sealed[-16:]),
        },
        "encrypted_aes_key": _text(public_key.encrypt(aes_key, OAEP)),
        "key_algorithm": "RSA-OAEP-SHA256",
        "payload_algorithm": "AES-256-GCM",
    }


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
