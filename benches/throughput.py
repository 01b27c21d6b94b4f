"""The throughput run: this client, the public one (0.2.9) and one put together by hand, and the bound that RSA sets.

Everything runs on this machine, against one server (`replaying.py`). A figure is the best of some rounds, for other
work on the machine only ever takes away; all clients take turns, so that it takes from all alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from by_hand_client import OAEP
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from extent import extent
from replaying import BY_HAND, HERE, OURS, REFERENCE, TEXT, Replay, private_pem, replaying_server

CLIENTS = {"nomyo": OURS, "by hand": BY_HAND, "nomyo 0.2.9": REFERENCE}
CONCURRENCIES = extent((1, 8, 32, 128, 256), (1, 32))
ROUNDS = extent(3, 1)
SECONDS = extent(4.0, 1.0)
REQUESTS_OF_MEMORY = extent(100_000, 500)
NO_MORE: Mapping[str, Any] = {}


def measure() -> dict[str, Any]:
    """Return requests a second by client and concurrency, and RSA operations a second."""
    key = rsa.generate_private_key(65537, 4096)
    rounds: list[dict[str, Any]] = []
    bounds = []
    with tempfile.TemporaryDirectory() as directory, replaying_server(Path(directory), key) as replay:
        for number in range(ROUNDS):
            bounds.append(rsa_operations_per_s(key))
            for concurrency in CONCURRENCIES:
                for client in CLIENTS if number == 0 else ("nomyo", "by hand"):  # the public one is the same each time
                    said = run(client, replay, concurrency, seconds=SECONDS)
                    rounds.append({"client": client, "at_once": concurrency, **said})
                    print(json.dumps(rounds[-1]), file=sys.stderr)
        memory = run("nomyo", replay, 32, requests=REQUESTS_OF_MEMORY)
    return {"rsa_operations_per_s": max(bounds), "rounds": best_of(rounds), "memory": memory}


def best_of(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the round with the most requests a second for each client and concurrency."""
    best: dict[tuple[str, int], dict[str, Any]] = {}
    for round_ in rounds:
        key = round_["client"], round_["at_once"]
        if key not in best or best[key]["requests_per_s"] < round_["requests_per_s"]:
            best[key] = round_
    return list(best.values())


def run(
    client: str, replay: Replay, concurrency: int, more: Mapping[str, Any] = NO_MORE, **until: float
) -> dict[str, Any]:
    """Run a client, with `more` options, in its own environment; what `load.py` says."""
    options = replay.options(**({} if client == "nomyo 0.2.9" else {"max_connections": max(100, concurrency)}))
    job = {"client": client, "options": options, "concurrency": concurrency, "text": TEXT, **until}
    job["options"] |= more
    command = [str(CLIENTS[client]), str(HERE / "load.py")]
    finished = subprocess.run(
        command, input=json.dumps(job), env=replay.environment, capture_output=True, text=True, check=True
    )
    said: dict[str, Any] = json.loads(finished.stdout)
    return said


def rsa_operations_per_s(key: rsa.RSAPrivateKey) -> float:
    """Return how many RSA-4096 private operations `cryptography` does on all cores at once."""
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as pool:
        return sum(pool.map(_operations_per_s, [private_pem(key)] * cores))


def _operations_per_s(pem: bytes) -> float:
    key = serialization.load_pem_private_key(pem, None)
    assert isinstance(key, rsa.RSAPrivateKey)
    wrapped = key.public_key().encrypt(bytes(32), OAEP)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < SECONDS / 2:
        key.decrypt(wrapped, OAEP)
        count += 1
    return count / (time.perf_counter() - began)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))
