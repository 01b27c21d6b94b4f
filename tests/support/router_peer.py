"""A client of the router made with Python's `cryptography` alone: the independent judge of the router's side."""

from __future__ import annotations

import functools
import ssl
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.peer import open_with, seal_for

COMPLETION_PATH = "/v1/chat/secure_completion"
KEY_PATH = "/pki/public_key"

# Loading the authorities takes 20 ms a client, and no TLS is spoken.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@functools.cache
def peer_key() -> rsa.RSAPrivateKey:
    """Return the client's key pair, one for the whole run."""
    return rsa.generate_private_key(65537, 2048)


def pem_of(key: rsa.RSAPrivateKey) -> str:
    """Return a key's public half as SPKI PEM."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, spki).decode()


def open_sealed(package: bytes) -> dict[str, Any]:
    """Open a package that was sealed to the client's key."""
    opened: dict[str, Any] = open_with(_private_pem(), package)
    return opened


def headers(**changed: str | None) -> dict[str, str]:
    """Return a good request's headers; keywords change them (`x_payload_id="..."`), None leaves one out."""
    good: dict[str, str | None] = {
        "X-Payload-ID": str(uuid.uuid4()),
        "X-Public-Key": quote(pem_of(peer_key())),
        "Content-Type": "application/octet-stream",
    }
    names = {name.lower(): name for name in (*good, "Authorization", "X-Security-Tier", "X-Forwarded-For")}
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
    return post(url, seal_for(pem or router_pem(url), chat_request), **changed)


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


@functools.cache
def _private_pem() -> bytes:
    pkcs8 = serialization.PrivateFormat.PKCS8
    return peer_key().private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption())
