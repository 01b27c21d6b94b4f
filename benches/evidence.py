"""What the audit log and padding cost, at 32 requests at once.

The clients take turns, each for some seconds a round. A figure is the median of the rounds, and a cost that of the
ratios within a round, so that other work on the machine takes from both alike.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from extent import extent
from replaying import HERE, Replay, replaying_server
from throughput import run

AT_ONCE = 32
SECONDS = extent(4.0, 0.3)
ROUNDS = extent(5, 1)
FIGURES = ("requests_per_s", "cpu_ms_per_request")


def measure() -> dict[str, dict[str, float]]:
    """Return the figures of each client, and its changes beside the plain one."""
    key = rsa.generate_private_key(65537, 4096)
    with tempfile.TemporaryDirectory(dir=HERE) as name, replaying_server(Path(name), key) as replay:
        said = _rounds(Path(name), replay)
    return {client: compared(rounds, said["plain"], FIGURES) for client, rounds in said.items()}


def _rounds(directory: Path, replay: Replay) -> dict[str, list[dict[str, Any]]]:
    """Return what `load.py` says of each client, a list of rounds each."""
    more = {"plain": {}, "audit log": {"audit_log": str(directory / "audit.jsonl")}, "padded": {"pad_requests": True}}
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in more}
    for number in range(ROUNDS):
        for name in sorted(more, reverse=bool(number % 2)):
            said[name].append(run("nomyo", replay, AT_ONCE, more[name], seconds=SECONDS))
    return said


def compared(rounds: list[dict[str, Any]], plain: list[dict[str, Any]], figures: Iterable[str]) -> dict[str, float]:
    """Return the median of each figure, and as `FIGURE change` that of its changes within a round."""
    found = {}
    for figure in figures:
        changes = [one[figure] / other[figure] - 1 for one, other in zip(rounds, plain, strict=True)]
        found |= {figure: median(one[figure] for one in rounds), f"{figure} change": median(changes)}
    return found


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
