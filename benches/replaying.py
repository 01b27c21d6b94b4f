"""The scene of all runs that send requests: a server that replays one sealed answer, its certificates, and a key pair.

Clients trust it by the usual CA bundle with one certificate more, for that is what they load in earnest.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import certifi
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests"))

from support.peer import seal_for  # noqa: E402 - the other side of the wire, as the tests have it

OURS = ROOT / ".venv/bin/python"
REFERENCE = ROOT / ".venv-reference/bin/python"
BY_HAND = ROOT / ".venv-by-hand/bin/python"
SPEED = ROOT / ".venv-speed/bin/python"
RAY = ROOT / ".venv-ray/bin/python"
TEXT = "Please summarise the following sentence in a few words. " * 4
ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "A short answer. " * 8}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 60, "completion_tokens": 40, "total_tokens": 100},
}


@dataclass(frozen=True)
class Replay:
    """The server's URL, the environment in which clients trust it, and the directory of their key pair."""

    url: str
    environment: dict[str, str]
    key_dir: Path
    process: subprocess.Popen[str] = field(repr=False)

    def hold(self, requests: int, seconds: int = 100) -> None:
        """Have none of the next so many requests answered before all of them have arrived, or time has passed."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(requests, seconds, file=self.process.stdin, flush=True)
        self.process.stdout.readline()

    def options(self, **more: Any) -> dict[str, Any]:
        """Return what a client of it is made with."""
        return {"base_url": self.url, "api_key": "a-key", "key_dir": str(self.key_dir), **more}


@contextmanager
def replaying_server(directory: Path, key: rsa.RSAPrivateKey, answer: Mapping[str, Any] = ANSWER) -> Iterator[Replay]:
    """Run the server, whose answers are one, sealed for one key; an empty directory is for its files."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(directory / "tls_key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(directory / "tls.pem"))
    (directory / "ca.pem").write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    router = rsa.generate_private_key(65537, 4096)
    (directory / "router.pem").write_text(_public_pem(router))
    (directory / "package.json").write_bytes(seal_for(_public_pem(key), answer, outer={"processed_at": 1}))
    _write_pair(directory / "client_keys", key)
    files = [str(directory / name) for name in ("tls.pem", "tls_key.pem", "router.pem", "package.json")]
    with subprocess.Popen(
        [_built_server(), *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        environment = {**os.environ, "SSL_CERT_FILE": str(directory / "ca.pem")}
        yield Replay(f"https://localhost:{port}", environment, directory / "client_keys", server)
        server.stdin.close()


def private_pem(key: rsa.RSAPrivateKey) -> bytes:
    """Return a key as PEM without a password."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _built_server() -> str:
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet"], cwd=HERE / "replay", check=True)
    return str(HERE / "replay/target/release/replay")


def _public_pem(key: rsa.RSAPrivateKey) -> str:
    encoding, form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(encoding, form).decode()


def _write_pair(directory: Path, key: rsa.RSAPrivateKey) -> None:
    directory.mkdir(mode=0o700)
    private = directory / "private_key.pem"
    private.touch(0o600)
    private.write_bytes(private_pem(key))
    (directory / "public_key.pem").write_text(_public_pem(key))
