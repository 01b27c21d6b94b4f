"""The throughput run: this client and the public one, 0.2.9, against one server, and the bound that RSA sets.

`python benches/throughput.py [OUT.json]`. Everything runs on this machine: the server replays one sealed answer
(`benches/replay`), the clients trust it by the usual CA bundle with one certificate more. A figure is the best of some
rounds, for other work on the machine only ever takes away.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import certifi
import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests"))

from peer import seal_for  # noqa: E402 - the other side of the wire, as the tests have it

OURS, REFERENCE = ROOT / ".venv/bin/python", ROOT / ".venv-reference/bin/python"
CONCURRENCIES = (1, 8, 32, 128, 256)
ROUNDS = 3
SECONDS = 4.0
TEXT = "Please summarise the following sentence in a few words. " * 4
OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)


def main() -> int:
    """Run everything, print the ratios, and write the figures."""
    with tempfile.TemporaryDirectory() as directory:
        figures = measure(Path(directory))
    print(table(figures))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def measure(directory: Path) -> dict[str, Any]:
    """Return all figures of one run."""
    key = rsa.generate_private_key(65537, 4096)
    bound = rsa_operations_per_s(key)
    with replaying_server(directory, key) as (url, environment):
        options = {"base_url": url, "api_key": "a-key", "key_dir": str(directory / "client_keys")}
        ours = {n: best(OURS, environment, n, {**options, "max_connections": max(100, n)}) for n in CONCURRENCIES}
        reference = {n: best(REFERENCE, environment, n, options, rounds=1) for n in CONCURRENCIES}
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "commit": subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, text=True).strip(),
        "rsa_operations_per_s": bound,
        "nomyo": ours,
        "nomyo 0.2.9": reference,
    }


def rsa_operations_per_s(key: rsa.RSAPrivateKey) -> float:
    """Return how many RSA-4096 private operations `cryptography` does on all cores at once."""
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as pool:
        return max(sum(pool.map(_operations_per_s, [pem] * cores)) for _ in range(ROUNDS))


def _operations_per_s(pem: bytes) -> float:
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    wrapped = key.public_key().encrypt(bytes(32), OAEP)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS / 2:
        key.decrypt(wrapped, OAEP)
        count += 1
    return count / (time.perf_counter() - began)


@contextmanager
def replaying_server(directory: Path, key: rsa.RSAPrivateKey) -> Iterator[tuple[str, dict[str, str]]]:
    """Run the server; its URL, and the environment in which clients trust it."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(str(directory / "tls_key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(directory / "tls.pem"))
    (directory / "ca.pem").write_bytes(Path(certifi.where()).read_bytes() + authority.cert_pem.bytes())
    router = rsa.generate_private_key(65537, 4096)
    (directory / "router.pem").write_text(_public_pem(router))
    (directory / "package.json").write_bytes(seal_for(_public_pem(key), ANSWER, outer={"processed_at": 1}))
    _write_pair(directory / "client_keys", key)
    files = [str(directory / name) for name in ("tls.pem", "tls_key.pem", "router.pem", "package.json")]
    with subprocess.Popen(
        [_built_server(), *files], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        port = int(server.stdout.readline())
        yield f"https://localhost:{port}", {**os.environ, "SSL_CERT_FILE": str(directory / "ca.pem")}
        server.stdin.close()


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
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (directory / "public_key.pem").write_text(_public_pem(key))


def best(
    python: Path, environment: dict[str, str], concurrency: int, options: dict[str, Any], *, rounds: int = ROUNDS
) -> dict[str, float]:
    """Return the figures of the round with the most requests a second."""
    job = json.dumps({"options": options, "concurrency": concurrency, "seconds": SECONDS, "text": TEXT})
    results = [
        json.loads(
            subprocess.run(
                [str(python), str(HERE / "load.py")],
                input=job,
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(rounds)
    ]
    found: dict[str, float] = max(results, key=lambda result: result["requests_per_s"])
    return found


def table(figures: dict[str, Any]) -> str:
    """Return the figures for people, with the ratios that count."""
    bound = figures["rsa_operations_per_s"]
    rows = [f"RSA-4096 private operations of `cryptography`, all cores: {bound:.0f} a second"]
    rows += ["at once   nomyo   of the bound   0.2.9   times   CPU ms   stall p99 ms"]
    for concurrency, ours in figures["nomyo"].items():
        theirs = figures["nomyo 0.2.9"][concurrency]["requests_per_s"]
        rate = ours["requests_per_s"]
        rows.append(
            f"{concurrency:7}  {rate:6.0f}   {rate / bound:12.2f}  {theirs:6.1f}  {rate / theirs:6.1f}"
            f"  {ours['cpu_ms_per_request']:7.2f}   {ours['stall_p99_ms']:12.1f}"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
