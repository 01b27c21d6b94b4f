"""What hidden memory costs: `python benches/hidden.py [SECONDS] [ROUNDS]`.

Two processes, one of which hides its memory, take turns. First each makes and drops memory of some sizes; the figure is
the CPU time of one such operation. Then each sends requests, 32 at once, for so many seconds a round. A figure is the
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
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from replaying import HERE, Replay, replaying_server
from throughput import run

AT_ONCE = 32
ALLOCATING_ROUNDS = 15
WAYS = {"locked": "0", "hidden": "1"}
Rounds = dict[str, list[dict[str, Any]]]


def operations() -> dict[str, Callable[[], object]]:
    """Return what is measured: slots of the arena, a large block of it, and SecureBuffers."""
    from nomyo import SecureBuffer, _core

    pem = bytes(_core.PrivateKey.generate(2048).to_pem())
    large = b"x" * 600_000
    return {
        "load and drop a key": lambda: _core.PrivateKey.from_pem(pem),
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


def sending(seconds: float, rounds: int, replay: Replay) -> Rounds:
    """Return what `load.py` says of each process, by round."""
    said: Rounds = {way: [] for way in WAYS}
    for number in range(rounds):
        for way in sorted(WAYS, reverse=bool(number % 2)):
            environment = {**replay.environment, "NOMYO_HIDE_MEMORY": WAYS[way]}
            said[way].append(run("nomyo", replace(replay, environment=environment), AT_ONCE, seconds=seconds))
    return said


def show(said: Rounds, *figures: str) -> None:
    """Print the figures of both processes, and what hiding costs."""
    for figure in figures:
        ratios = [one[figure] / other[figure] - 1 for one, other in zip(said["hidden"], said["locked"], strict=True)]
        locked, hidden = (median(one[figure] for one in said[way]) for way in WAYS)
        print(f"{figure:30} {locked:10.3f} {hidden:10.3f}  {100 * median(ratios):+6.1f} %")


def main(seconds: float = 4.0, rounds: int = 5) -> None:
    """Print the figures as a table."""
    print(f"{'':30} {'locked':>10} {'hidden':>10}")
    said = allocating()
    show(said, *said["locked"][0])
    key = rsa.generate_private_key(65537, 4096)
    with tempfile.TemporaryDirectory(dir=HERE) as name, replaying_server(Path(name), key) as replay:
        show(sending(seconds, rounds, replay), "requests_per_s", "cpu_ms_per_request")


if __name__ == "__main__":
    if sys.argv[1:] == ["allocate"]:
        allocate()
    else:
        main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:3]))
