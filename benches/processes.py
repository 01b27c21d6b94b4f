"""How cost grows with processes: one batch, split over 1 to 4 processes that keep one rate by one governor's books.

Three runs of each number: without a rate, at 200 requests a second, and turns of the governor alone, without requests,
as fast as the books allow. Figures begin with the first request of any process and end with the last one.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from extent import extent
from replaying import HERE, OURS, Replay, replaying_server
from rows import written_input

PROCESSES = extent((1, 2, 3, 4), (1, 2))
RATE = 200.0
ROWS = {0.0: extent(4800, 96), RATE: extent(1200, 48)}
TURNS_S = extent(3.0, 0.3)
SECOND_NS = 10**9


def measure() -> dict[str, Any]:
    """Return the figures of each run."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "server").mkdir()
        with replaying_server(directory / "server", rsa.generate_private_key(65537, 4096)) as replay:
            rounds = [
                {"processes": count, "rate": rate, **_together(_batches(replay, directory, count, rate), replay)}
                for count in PROCESSES
                for rate in ROWS
            ]
            turns = [{"processes": count, **_together(_turns(replay, directory, count), replay)} for count in PROCESSES]
    return {"rate": RATE, "rounds": rounds, "turns": turns}


def _batches(replay: Replay, directory: Path, count: int, rate: float) -> list[dict[str, Any]]:
    """Return a job for each process, with its share of the rows."""
    books = tempfile.mkdtemp(dir=directory)
    each = int(ROWS[rate] // count)
    jobs = []
    for number in range(count):
        source = written_input(Path(books, f"in-{number}.jsonl"), each, first=number * each + 1)
        job = {"options": replay.options(), "rate": rate, "directory": f"{books}/rates"}
        jobs.append({**job, "input": str(source), "output": str(source.with_suffix(".out"))})
    return jobs


def _turns(replay: Replay, directory: Path, count: int) -> list[dict[str, Any]]:
    books = tempfile.mkdtemp(dir=directory)
    job = {"options": replay.options(), "rate": 0.0, "directory": f"{books}/rates", "seconds": TURNS_S}
    return [job] * count


def _together(jobs: list[dict[str, Any]], replay: Replay) -> dict[str, Any]:
    """Run processes that begin together; return requests a second, processor time, and the most within any second."""
    command = [str(OURS), str(HERE / "governed.py")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, env=replay.environment, **pipes) for _ in jobs]
    for process, job in zip(running, jobs, strict=True):
        assert process.stdin is not None
        assert process.stdout is not None
        print(json.dumps(job), file=process.stdin, flush=True)
        assert process.stdout.readline() == "ready\n"
    for process in running:
        print(file=process.stdin, flush=True)
    said = [json.loads(process.communicate()[0]) for process in running]
    moments = sorted(moment for one in said for moment in one["moments_ns"])
    figures = {
        "requests": len(moments),
        "requests_per_s": (len(moments) - 1) / (moments[-1] - moments[0]) * SECOND_NS,
        "most_in_a_second": most_within_a_second(moments),
        "cpu_ms_per_request": sum(one["cpu_s"] for one in said) / len(moments) * 1e3,
        "shares": [len(one["moments_ns"]) for one in said],
    }
    print(json.dumps(figures), file=sys.stderr)
    return figures


def most_within_a_second(moments_ns: list[int]) -> int:
    """Return the most moments that any second holds."""
    most = first = 0
    for last, moment in enumerate(moments_ns):
        while moments_ns[first] <= moment - SECOND_NS:
            first += 1
        most = max(most, last - first + 1)
    return most


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
