"""What the audit log and padding cost: `python benches/evidence.py [SECONDS] [ROUNDS]`, at 32 requests at once.

The clients take turns, each for so many seconds a round. A figure is the median of the rounds, and a cost that of the
ratios within a round, so that other work on the machine takes from both alike.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from replaying import HERE, Replay, replaying_server
from throughput import run

AT_ONCE = 32


def measure(seconds: float, rounds: int, directory: Path, replay: Replay) -> dict[str, list[dict[str, Any]]]:
    """Return what `load.py` says of each client, a list of rounds each."""
    more = {"plain": {}, "audit_log": {"audit_log": str(directory / "audit.jsonl")}, "padded": {"pad_requests": True}}
    said: dict[str, list[dict[str, Any]]] = {name: [] for name in more}
    for number in range(rounds):
        for name in sorted(more, reverse=bool(number % 2)):
            said[name].append(run("nomyo", replay, AT_ONCE, more[name], seconds=seconds))
    return said


def main(seconds: float = 4.0, rounds: int = 5) -> None:
    """Print the figures as a table."""
    key = rsa.generate_private_key(65537, 4096)
    with tempfile.TemporaryDirectory(dir=HERE) as name, replaying_server(Path(name), key) as replay:
        said = measure(seconds, rounds, Path(name), replay)
    for client, of_rounds in said.items():
        for figure in ("requests_per_s", "cpu_ms_per_request"):
            ratios = [one[figure] / plain[figure] - 1 for one, plain in zip(of_rounds, said["plain"], strict=True)]
            value = median(one[figure] for one in of_rounds)
            print(f"{client:10} {figure:20} {value:10.3f}  {100 * median(ratios):+6.1f} %")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:3]))
