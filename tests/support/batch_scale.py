"""A long batch beside `create_many` alone, against a router on this machine: memory by its slope, and rows a second.

`python tests/support/batch_scale.py [ROWS]` (20,000 by default) prints what it measured; exits with 1 where memory
grows, or the batch is slower than 0.9 of `create_many`. The machine should have little else to do.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import nomyo.batch
from nomyo import SecureChatCompletion, _core
from nomyo.batch.progress import NoProgress
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import request, rows_of, write_input
from support.soak import SAMPLES, growth, sample, settle

CONCURRENCY = 32
ROUNDS = 3
LEAST_SHARE = 0.9
# What is in use of the arena goes up and down with what is under way; it is looked at when all is done, see `batch`.
FIGURES = ("RSS KiB", "VmLck KiB", "open files", "threads")


class Sampling(NoProgress):
    """Samples the process while a batch runs."""

    def __init__(self, rows: int) -> None:
        self._every = max(1, rows // SAMPLES)
        self._rows = 0
        self.samples: list[dict[str, float]] = []

    def row(self, **_: Any) -> None:
        self._rows += 1
        if self._rows % self._every == 0:
            self.samples.append(sample())


def batch(url: str, directory: Path, rows: int, name: str) -> dict[str, Any]:
    """Run a batch over the first rows of the input, in this process."""
    source = directory / f"{name}.jsonl"
    write_input(source, map(request, range(rows)))
    sampling = Sampling(rows)
    progress = sampling if name == "memory" else NoProgress()
    began = time.perf_counter(), time.process_time()
    summary = nomyo.batch.run(
        source, directory / f"{name}.out", progress=progress, concurrency=CONCURRENCY, **options(url, directory)
    )
    took = _took(rows, began)
    assert (summary.succeeded, len(rows_of(directory / f"{name}.out"))) == (rows, rows)
    settle()
    return {**took, "samples": sampling.samples, "arena_in_use_at_rest_kib": sample()["arena in use KiB"]}


def many(url: str, directory: Path, rows: int) -> dict[str, Any]:
    """Send the same requests by `create_many`, and drop the answers."""

    def bodies() -> Iterator[dict[str, Any]]:
        for number in range(rows):
            yield request(number)["body"]

    async def run() -> int:
        answered = 0
        async with SecureChatCompletion(max_connections=CONCURRENCY, **options(url, directory)) as client:
            async for result in client.create_many(bodies(), concurrency=CONCURRENCY):
                answered += result.error is None
        return answered

    began = time.perf_counter(), time.process_time()
    assert asyncio.run(run()) == rows
    return _took(rows, began)


def _took(rows: int, began: tuple[float, float]) -> dict[str, float]:
    wall_s, cpu_s = time.perf_counter() - began[0], time.process_time() - began[1]
    return {"rows_per_s": rows / wall_s, "cpu_ms_per_row": cpu_s / rows * 1e3}


def options(url: str, directory: Path) -> dict[str, Any]:
    return {"base_url": url, "allow_http": True, "key_dir": directory / "client_keys"}


def in_child(what: str, before: str = "") -> dict[str, Any]:
    """Do one of the above in a process of its own, after `before`."""
    imports = "import json; from pathlib import Path; from support import batch_scale as b"
    program = f"{imports}\n{before}\nprint(json.dumps(b.{what}))"
    words = [sys.executable, "-W", "ignore", "-c", program]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def measure(rows: int, key_bits: int = 4096) -> dict[str, Any]:
    """Return what was measured: rounds of both, which take turns, and one long batch with samples of its memory."""
    rounds: dict[str, list[dict[str, Any]]] = {"create_many": [], "batch": []}
    with tempfile.TemporaryDirectory() as name, RunningRouter(RouterConfig(key_bits=key_bits)) as router:
        _core.write_key_directory(Path(name) / "client_keys", _core.PrivateKey.generate(key_bits))
        where = f"{router.url!r}, Path({name!r})"
        for number in range(ROUNDS):
            rounds["create_many"].append(in_child(f"many({where}, {rows // 5})"))
            rounds["batch"].append(in_child(f"batch({where}, {rows // 5}, 'round-{number}')"))
        long = in_child(f"batch({where}, {rows}, 'memory')")
    grown = [growth(figure, [taken[figure] for taken in long["samples"]]) for figure in FIGURES]
    return {"rounds": rounds, "long": long, "grown": grown}


def share(rounds: dict[str, list[dict[str, Any]]]) -> float:
    """Return how fast the batch is, `create_many` being 1: best rounds, for other work only ever takes away."""
    best: dict[str, float] = {name: max(taken["rows_per_s"] for taken in of_one) for name, of_one in rounds.items()}
    return best["batch"] / best["create_many"]


def share_of_cpu(rounds: dict[str, list[dict[str, Any]]]) -> float:
    """Return the same by processor time of the client, which other work on the machine hardly changes."""
    best: dict[str, float] = {name: min(taken["cpu_ms_per_row"] for taken in of_one) for name, of_one in rounds.items()}
    return best["create_many"] / best["batch"]


def arena_kept_kib(measured: dict[str, Any]) -> float:
    """Return what the long batch left in the arena beyond what short ones do."""
    at_rest = "arena_in_use_at_rest_kib"
    kept_kib: float = measured["long"][at_rest] - max(taken[at_rest] for taken in measured["rounds"]["batch"])
    return kept_kib


def main(rows: int) -> int:
    """Measure, and print a line for each figure."""
    measured = measure(rows)
    for figure in measured["grown"]:
        print(f"{figure.name}: {figure.first:,.1f} to {figure.last:,.1f}, slope {figure.grown:+,.1f}")
    kept_kib = arena_kept_kib(measured)
    print(f"arena in use at rest: {kept_kib:,.1f} KiB more after {rows:,} rows than after {rows // 5:,}")
    for client, taken in measured["rounds"].items():
        rates = ", ".join(f"{one['rows_per_s']:,.0f} ({one['cpu_ms_per_row']:.2f} ms)" for one in taken)
        print(f"{client}: {rates} rows/s (client's CPU a row)")
    by_time = share(measured["rounds"])
    print(f"the batch of {rows:,} rows: {measured['long']['rows_per_s']:,.0f} rows/s")
    print(f"share of create_many: {by_time:.2f} by time, {share_of_cpu(measured['rounds']):.2f} by CPU")
    flat = kept_kib <= 0 and all(figure.flat for figure in measured["grown"])
    return int(by_time < LEAST_SHARE or not flat)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
