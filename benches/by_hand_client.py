"""The protocol put together by hand from `cryptography`, orjson and httpx, as an engineer in a hurry would: a peer.

It locks and wipes nothing, checks little, and retries nothing: what it leaves out is what it is fast by.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import urllib.parse
import uuid
from pathlib import Path
from typing import Any

import httpx
import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def seal(content: Any, key: rsa.RSAPublicKey) -> bytes:
    """Return a package for the holder of a key."""
    aes_key, nonce = AESGCM.generate_key(256), os.urandom(12)
    sealed = AESGCM(aes_key).encrypt(nonce, orjson.dumps(content), None)
    inner = {"ciphertext": sealed[:-16], "nonce": nonce, "tag": sealed[-16:]}
    package = {
        "version": "1.0",
        "algorithm": "hybrid-aes256-rsa4096",
        "encrypted_payload": {name: base64.b64encode(raw).decode() for name, raw in inner.items()},
        "encrypted_aes_key": base64.b64encode(key.encrypt(aes_key, OAEP)).decode(),
        "key_algorithm": "RSA-OAEP-SHA256",
        "payload_algorithm": "AES-256-GCM",
    }
    return orjson.dumps(package)


def open_package(package: bytes, key: rsa.RSAPrivateKey) -> Any:
    """Return the content of a package."""
    parsed = orjson.loads(package)
    inner = {name: base64.b64decode(text) for name, text in parsed["encrypted_payload"].items()}
    aes_key = key.decrypt(base64.b64decode(parsed["encrypted_aes_key"]), OAEP)
    return orjson.loads(AESGCM(aes_key).decrypt(inner["nonce"], inner["ciphertext"] + inner["tag"], None))


class Client:
    """Sends requests: one pooled HTTP client, the router's key fetched once, RSA in threads."""

    def __init__(self, base_url: str, api_key: str, key_dir: str, max_connections: int = 100) -> None:
        """Load the pair in `key_dir`."""
        pem = Path(key_dir, "private_key.pem").read_bytes()
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, rsa.RSAPrivateKey)
        self._key = key
        self._api_key = api_key
        self._public_key = urllib.parse.quote(Path(key_dir, "public_key.pem").read_text())
        limits = httpx.Limits(max_connections=max_connections, max_keepalive_connections=max_connections)
        context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
        self._http = httpx.AsyncClient(base_url=base_url, verify=context, limits=limits, timeout=60)
        self._router_key: rsa.RSAPublicKey | None = None

    async def create(self, **request: Any) -> Any:
        """Send one request; return the answer."""
        if self._router_key is None:
            pem = (await self._http.get("/pki/public_key")).content
            router_key = serialization.load_pem_public_key(pem)
            assert isinstance(router_key, rsa.RSAPublicKey)
            self._router_key = router_key
        package = await asyncio.to_thread(seal, request, self._router_key)
        headers = {
            "X-Payload-ID": str(uuid.uuid4()),
            "X-Public-Key": self._public_key,
            "Content-Type": "application/octet-stream",
            "Authorization": f"Bearer {self._api_key}",
        }
        response = await self._http.post("/v1/chat/secure_completion", headers=headers, content=package)
        response.raise_for_status()
        return await asyncio.to_thread(open_package, response.content, self._key)
