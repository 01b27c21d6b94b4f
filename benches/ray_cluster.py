"""What a cluster costs and gives, on one machine. What is measured runs in `.venv-ray`: Ray is there alone.

A batch in one process beside one over 1 and 2 actors of a local Ray, against one server that replays an answer; the
time until the first row, a turn of the cluster's rate, and memory. The machine should have nothing else to do.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from extent import extent  # noqa: E402 - a module beside this one

ROWS = extent(8000, 100)
TURNS = extent(2000, 20)
BODY = {"model": "m", "messages": [{"role": "user", "content": "Please summarise the following sentence. " * 6}]}


def measure() -> list[dict[str, Any]]:
    """Return the figures of each run, which has a process of its own."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from replaying import RAY, replaying_server

    key, figures = rsa.generate_private_key(65537, 4096), []
    with tempfile.TemporaryDirectory() as name, replaying_server(Path(name), key) as replay:
        source = Path(name) / "in.jsonl"
        row = {"method": "POST", "url": "/v1/chat/completions", "body": BODY}
        source.write_text("".join(json.dumps({"custom_id": f"{n}", **row}) + "\n" for n in range(ROWS)))
        options = {"base_url": replay.url, "key_dir": str(replay.key_dir)}
        quiet = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "NOMYO_API_KEY": "a-key"}
        environment = {**replay.environment, **quiet, "PYTHONPATH": str(HERE.parent / "python")}
        for what in ("one_process", "cluster 1", "cluster 2", "turns", "imports"):
            words = [str(RAY), "-W", "ignore", __file__, what, json.dumps(options), str(source)]
            said = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
            figures.append(json.loads(next(line for line in said.splitlines() if line.startswith("{"))))
            print(json.dumps(figures[-1]), file=sys.stderr)
    return figures


def one_process(options: dict[str, Any], source: Path) -> dict[str, Any]:
    import nomyo.batch

    began = time.perf_counter()
    nomyo.batch.run(source, source.with_suffix(".out"), **options)
    return {"actors": 0, "rows/s": round(ROWS / (time.perf_counter() - began)), "memory, MiB": _memory_mib()}


def cluster(options: dict[str, Any], source: Path, actors: int) -> dict[str, Any]:
    import ray

    import nomyo.batch.ray

    began = time.perf_counter()
    _start(ray)
    started = time.perf_counter()
    few = source.with_suffix(f".few{actors}")
    few.write_bytes(source.read_bytes().splitlines(keepends=True)[0])
    nomyo.batch.ray.run(few, source.with_suffix(f".few{actors}.out"), actors=actors, **options)
    first = time.perf_counter()
    nomyo.batch.ray.run(source, source.with_suffix(f".out{actors}"), actors=actors, **options)
    took_s = time.perf_counter() - first
    return {
        "actors": actors,
        "rows/s": round(ROWS / took_s),
        "start of Ray, s": round(started - began, 1),
        "a job of one row, s": round(first - started, 1),
        "memory, MiB": _memory_mib(),
    }


def turns(*_: Any) -> dict[str, Any]:
    import ray

    from nomyo.batch.governor import Limits
    from nomyo.batch.ray.rate import ClusterRate

    _start(ray)

    async def take() -> float:
        rate = ClusterRate("bench", Limits(requests_per_s=0))
        await rate.acquire()
        began = time.perf_counter()
        for _ in range(TURNS):
            await rate.acquire()
        return (time.perf_counter() - began) / TURNS * 1e3

    return {"a turn, ms": round(asyncio.run(take()), 2)}


def imports(*_: Any) -> dict[str, Any]:
    began = time.perf_counter()
    import nomyo.batch

    between = time.perf_counter()
    import nomyo.batch.ray  # noqa: F401 - it is measured

    return {
        "import nomyo.batch, s": round(between - began, 2),
        "import nomyo.batch.ray, s more": round(time.perf_counter() - between, 2),
    }


def _start(ray: Any) -> None:
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=100 * 1024 * 1024, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False


def _memory_mib() -> int:
    """Return what all processes of this session have of their own."""
    total_kib = 0
    for status in Path("/proc").glob("[0-9]*/smaps_rollup"):
        try:
            words = (status.parent / "cmdline").read_bytes()
            if b"ray::" in words or b"/ray/" in words or status.parent.name == str(os.getpid()):
                total_kib += int(status.read_text().partition("Pss:")[2].split()[0])
        except OSError:
            continue
    return total_kib // 1024


if __name__ == "__main__":
    if len(sys.argv) == 1:
        print(json.dumps(measure(), indent=1))
    else:
        work, _, actors = sys.argv[1].partition(" ")
        arguments = (json.loads(sys.argv[2]), Path(sys.argv[3]), *([int(actors)] if actors else []))
        print(json.dumps(globals()[work](*arguments)))
