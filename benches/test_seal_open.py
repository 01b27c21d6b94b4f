"""Seal and open over size, against peers in the same run, and the RSA operation that is part of it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nomyo import SecureBuffer, _core

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import by_hand_client as by_hand  # noqa: E402 - a program beside this one

REFERENCE = HERE.parent / ".venv-reference/bin/python"
SIZES = {"200B": 200, "10KB": 10_000, "100KB": 100_000, "1MB": 1_000_000, "8.5MB": 8_500_000}
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


@pytest.fixture
def reference(ours: _core.PrivateKey, size: str) -> Iterator[subprocess.Popen[str]]:
    """The public client in its own environment, which seals once for every line: the pipe takes some 50 us of it."""
    if not REFERENCE.exists():
        pytest.fail("nomyo 0.2.9 is not installed here, the other side of this benchmark: run `make reference`", False)
    job = {"public_key": ours.public_key.pem, "payload": payload(SIZES[size])}
    command = [str(REFERENCE), str(HERE / "reference_seal.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(job) + "\n")
        yield process
        process.stdin.close()


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
        package = benchmark(by_hand.seal, content, public_key)
    assert by_hand.open_package(package, theirs) == content


@pytest.mark.parametrize("size", SIZES)
def test_seal_by_0_2_9(benchmark: Any, reference: subprocess.Popen[str], theirs: rsa.RSAPrivateKey, size: str) -> None:
    benchmark.group = f"seal {size}"
    assert reference.stdin is not None
    assert reference.stdout is not None

    def seal() -> str:
        reference.stdin.write("\n")
        reference.stdin.flush()
        return reference.stdout.readline()

    seal()
    assert benchmark.pedantic(seal, rounds=5).strip() == "sealed"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("who", ["nomyo", "nomyo secret", "by hand", "bare RSA"])
def test_open(benchmark: Any, ours: _core.PrivateKey, theirs: rsa.RSAPrivateKey, who: str, size: str) -> None:
    benchmark.group = f"open {size}"
    content = payload(SIZES[size])
    package = by_hand.seal(content, theirs.public_key())
    if who == "nomyo":
        opened = benchmark(_core.open_package, package, ours)[0]
    elif who == "nomyo secret":
        opened = json.loads(bytes(benchmark(_core.open_secret, package, ours)[0]))
    elif who == "by hand":
        opened = benchmark(by_hand.open_package, package, theirs)
    else:
        wrapped = base64.b64decode(json.loads(package)["encrypted_aes_key"])
        assert len(benchmark(theirs.decrypt, wrapped, by_hand.OAEP)) == 32
        return
    assert opened == content
