"""A client of the router made with Python's `cryptography` alone: the independent judge of the router's side."""

from __future__ import annotations

import base64
import functools
import json
import os
import ssl
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

COMPLETION_PATH = "/v1/chat/secure_completion"
KEY_PATH = "/pki/public_key"

# Loading the authorities takes 20 ms a client, and no TLS is spoken.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


@functools.cache
def peer_key() -> rsa.RSAPrivateKey:
    """Return the client's key pair, one for the whole run."""
    return rsa.generate_private_key(65537, 2048)


def pem_of(key: rsa.RSAPrivateKey) -> str:
    """Return a key's public half as SPKI PEM."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


def seal(plaintext: bytes, router_pem: str, aes_key: bytes | None = None) -> dict[str, Any]:
    """Seal bytes to a router's key, as the package before it becomes JSON."""
    router_key = serialization.load_pem_public_key(router_pem.encode())
    assert isinstance(router_key, rsa.RSAPublicKey)
    aes_key = aes_key or os.urandom(32)
    nonce = os.urandom(12)
    sealed = AESGCM(aes_key).encrypt(nonce, plaintext, None)
    return {
        "version": "1.0",
        "algorithm": "hybrid-aes256-rsa4096",
        "encrypted_payload": {"ciphertext": _b64(sealed[:-16]), "nonce": _b64(nonce), "tag": _b64(sealed[-16:])},
        "encrypted_aes_key": _b64(router_key.encrypt(aes_key, _OAEP)),
        "key_algorithm": "RSA-OAEP-SHA256",
        "payload_algorithm": "AES-256-GCM",
    }


def open_sealed(package: bytes) -> dict[str, Any]:
    """Open a package that was sealed to the client's key."""
    outer = json.loads(package)
    payload = {name: base64.b64decode(text, validate=True) for name, text in outer["encrypted_payload"].items()}
    aes_key = peer_key().decrypt(base64.b64decode(outer["encrypted_aes_key"], validate=True), _OAEP)
    plaintext = AESGCM(aes_key).decrypt(payload["nonce"], payload["ciphertext"] + payload["tag"], None)
    opened: dict[str, Any] = json.loads(plaintext)
    return opened


def headers(**changed: str | None) -> dict[str, str]:
    """Return a good request's headers; keywords change them (`x_payload_id="..."`), None leaves one out."""
    good: dict[str, str | None] = {
        "X-Payload-ID": str(uuid.uuid4()),
        "X-Public-Key": quote(pem_of(peer_key())),
        "Content-Type": "application/octet-stream",
    }
    names = {name.lower(): name for name in (*good, "Authorization", "X-Security-Tier")}
    good |= {names[name.replace("_", "-")]: value for name, value in changed.items()}
    return {name: value for name, value in good.items() if value is not None}


def chat(content: Any = "hello", **parameters: Any) -> dict[str, Any]:
    """Return a chat request with one user message."""
    return {"model": "any", "messages": [{"role": "user", "content": content}], **parameters}


def request(method: str, url: str, **options: Any) -> httpx.Response:
    """Send any request over plain HTTP."""
    with httpx.Client(trust_env=False, timeout=30, verify=_NO_AUTHORITIES) as client:
        return client.request(method, url, **options)


def post(url: str, body: bytes, **changed_headers: str | None) -> httpx.Response:
    """Send bytes to the router as they are."""
    return request("POST", url + COMPLETION_PATH, content=body, headers=headers(**changed_headers))


def router_pem(url: str) -> str:
    """Ask a router for its key."""
    return request("GET", url + KEY_PATH).raise_for_status().text


def send(url: str, chat_request: Mapping[str, Any], *, pem: str | None = None, **changed: str | None) -> httpx.Response:
    """Seal a request and send it; `pem` seals to another key than the router's present one."""
    return post(url, json.dumps(seal(json.dumps(chat_request).encode(), pem or router_pem(url))).encode(), **changed)


def ask(url: str, chat_request: Mapping[str, Any], **changed: str | None) -> dict[str, Any]:
    """Send a request that must succeed, and return the opened answer."""
    response = send(url, chat_request, **changed)
    assert response.status_code == 200, response.text
    return open_sealed(response.content)


def reply_of(answer: dict[str, Any]) -> Any:
    """Return what the first choice says."""
    return answer["choices"][0]["message"]["content"]


def detail_of(response: httpx.Response) -> str:
    """Return the words of an error answer, which must have the protocol's form."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["detail"]
    return str(body["detail"])


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
