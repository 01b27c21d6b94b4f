"""What hidden memory costs.

Two processes, one of which hides its memory, take turns. First each makes and drops memory of some sizes; the figure is
the CPU time of one such operation. Then each sends requests, 32 at once, for some seconds a round. A figure is the
median of the rounds, and a cost that of the ratios within a round, so that other work on the machine takes from both
alike.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from evidence import FIGURES, ROUNDS, SECONDS, compared
from extent import extent
from replaying import HERE, Replay, replaying_server
from throughput import run

AT_ONCE = 32
ALLOCATING_ROUNDS = extent(15, 2)
WAYS = {"locked": "0", "hidden": "1"}
Rounds = dict[str, list[dict[str, Any]]]


def operations() -> dict[str, Callable[[], object]]:
    """Return what is measured: slots of the arena, a large block of it, and SecureBuffers."""
    from nomyo import SecureBuffer, _core

    pem = bytes(_core.PrivateKey.generate(2048).to_pem())
    large, kept = b"x" * 600_000, SecureBuffer(100)

    def open_and_close() -> None:
        with kept.unlocked():
            pass

    return {
        "load and drop a key": lambda: _core.PrivateKey.from_pem(pem),
        "open and close a buffer": open_and_close,
        "buffer, 100 B": lambda: SecureBuffer(100).close(),
        "buffer, 100 KB": lambda: SecureBuffer(100_000).close(),
        "buffer, compared with 600 KB": lambda: SecureBuffer(8) == large,
    }


def allocate() -> None:
    """Answer each line of stdin with a line of CPU times, in microseconds by operation."""
    measured = operations()
    for _ in sys.stdin:
        print(json.dumps({name: cpu_us(operation) for name, operation in measured.items()}), flush=True)


def cpu_us(operation: Callable[[], object], times: int = 100) -> float:
    """Return the CPU time of one operation in microseconds."""
    begun = time.process_time()
    for _ in range(times):
        operation()
    return (time.process_time() - begun) / times * 1e6


def allocating() -> Rounds:
    """Return the CPU times of both processes, by round."""
    children = {
        way: subprocess.Popen(
            [sys.executable, __file__, "allocate"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "NOMYO_HIDE_MEMORY": value},
        )
        for way, value in WAYS.items()
    }
    said: Rounds = {way: [] for way in WAYS}
    for number in range(ALLOCATING_ROUNDS):
        for way in sorted(WAYS, reverse=bool(number % 2)):
            child = children[way]
            assert child.stdin is not None
            assert child.stdout is not None
            print(file=child.stdin, flush=True)
            said[way].append(json.loads(child.stdout.readline()))
    for child in children.values():
        child.communicate()
    return {way: rounds[1:] for way, rounds in said.items()}  # the first warms up


def sending(replay: Replay) -> Rounds:
    """Return what `load.py` says of each process, by round."""
    said: Rounds = {way: [] for way in WAYS}
    for number in range(ROUNDS):
        for way in sorted(WAYS, reverse=bool(number % 2)):
            environment = {**replay.environment, "NOMYO_HIDE_MEMORY": WAYS[way]}
            said[way].append(run("nomyo", replace(replay, environment=environment), AT_ONCE, seconds=SECONDS))
    return said


def measure() -> dict[str, dict[str, float]]:
    """Return the figures of both processes, and the changes by hiding."""
    key = rsa.generate_private_key(65537, 4096)
    with tempfile.TemporaryDirectory(dir=HERE) as name, replaying_server(Path(name), key) as replay:
        sent, allocated = sending(replay), allocating()
    return {
        way: compared(allocated[way], allocated["locked"], allocated[way][0])
        | compared(sent[way], sent["locked"], FIGURES)
        for way in WAYS
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["allocate"]:
        allocate()
    else:
        print(json.dumps(measure(), indent=1))
