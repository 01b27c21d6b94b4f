"""The owner of a `PrivateKey`, played by Python's `cryptography` alone.

Beside `peer.py`, for tests with thousands of packages: it checks and loads the key (70 ms) once.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nomyo import _core
from support.peer import OAEP, seal_for


class Owner:
    """Has the same key pair as a `PrivateKey`."""

    def __init__(self, key: _core.PrivateKey) -> None:
        with key.to_pem() as pem:
            private = serialization.load_pem_private_key(bytes(pem), None)
        assert isinstance(private, rsa.RSAPrivateKey)
        self._private = private
        self._public_pem = key.public_key.pem

    def open(self, package: bytes) -> bytes:
        """Open a package: its plaintext."""
        outer = json.loads(package)
        sealed = {name: base64.b64decode(text, validate=True) for name, text in outer["encrypted_payload"].items()}
        aes_key = self._private.decrypt(base64.b64decode(outer["encrypted_aes_key"], validate=True), OAEP)
        return AESGCM(aes_key).decrypt(sealed["nonce"], sealed["ciphertext"] + sealed["tag"], None)

    def seal(self, plaintext: bytes, **outer: Any) -> bytes:
        """Seal any plaintext; `outer` adds fields to the outer object, or replaces them."""
        return seal_for(self._public_pem, plaintext, outer=outer)
