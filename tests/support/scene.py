"""What a scan is about: messages, answers, a key pair, and a router that knows the rest."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any, Self

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.memory_scan import Needle
from support.needles import of_private_key, of_texts, texts
from support.noting_router import NotingRouter
from support.scanned import written
from support.tls import Authority

KEY = "client key"


class Scene:
    """A directory with messages and a key pair, a router, and what is secret about them."""

    def __init__(self, directory: Path, authority: Authority | None = None, key_bits: int = 2048) -> None:
        self.directory = directory
        self.messages, self.answers = texts("message"), texts("answer")
        self.router = NotingRouter(self.answers, authority)
        self.keys = directory / "keys"
        self.job: dict[str, Any] = {
            "url": self.router.url,
            "keys": str(self.keys),
            "messages": written(directory, self.messages),
        }
        self.pem = write_keys(self.keys, key_bits=key_bits)

    def needles(self, password: bytes | None = None) -> list[Needle]:
        texts_needles = of_texts([*self.messages, *self.answers])
        return [*texts_needles, *self.router.needles(), *of_private_key(KEY, self.pem, password)]

    def __enter__(self) -> Self:
        self.router.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.router.__exit__()


@functools.cache
def _client_key(bits: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def write_keys(directory: Path, password: str | None = None, key_bits: int = 2048) -> bytes:
    """Make a key directory without any code of ours; return its private PEM."""
    key = _client_key(key_bits)
    pem, spki = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, encryption)
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    (directory / "private_key.pem").write_bytes(private)
    (directory / "private_key.pem").chmod(0o600)
    (directory / "public_key.pem").write_bytes(key.public_key().public_bytes(pem, spki))
    return private


def objects(scene: Scene, way: dict[str, str]) -> set[str]:
    """Return which texts were Python strings: on the secret path, none."""
    messages = scene.messages if way["form"] == "str" else []
    answers = scene.answers if way["method"] == "create" else []
    return {text.secret for text in (*messages, *answers)}
