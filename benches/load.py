"""Requests so many at once, through the client that a job names: a program of the throughput run, for any environment.

Reads a job as JSON from standard input (`client`, its `options`, `concurrency`, `text`, and `seconds` or `requests`)
and prints what it measured as JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import warnings
from pathlib import Path
from typing import Any

HEARTBEAT_S = 0.001
SAMPLES = 50


def client_of(job: dict[str, Any]) -> Any:
    if job["client"] == "by hand":
        from by_hand_client import Client

        return Client(**job["options"])
    from nomyo import SecureChatCompletion

    return SecureChatCompletion(**job["options"])


async def run(job: dict[str, Any]) -> dict[str, Any]:
    client = client_of(job)
    messages = [{"role": "user", "content": job["text"]}]
    # Warmed up: connections are open, keys loaded, code paths taken.
    await asyncio.gather(*(client.create(model="m", messages=messages) for _ in range(job["concurrency"])))

    late: list[float] = []
    heart = asyncio.create_task(_beat(late))
    most = job.get("requests", float("inf"))
    rss_kib: list[int] = []
    done = 0

    async def ask() -> None:
        nonlocal done
        while done < most and time.perf_counter() < end:
            await client.create(model="m", messages=messages)
            done += 1
            if done * SAMPLES % most == 0:
                rss_kib.append(_rss_kib())

    wall, cpu = time.perf_counter(), time.process_time()
    end = wall + job.get("seconds", float("inf"))
    await asyncio.gather(*(ask() for _ in range(job["concurrency"])))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    heart.cancel()
    rss_kib.append(_rss_kib())
    late.sort()
    return {
        "requests": done,
        "requests_per_s": done / wall,
        "cpu_ms_per_request": cpu / done * 1e3,
        "stall_p99_ms": late[int(len(late) * 0.99)] * 1e3,
        "rss_kib": rss_kib,
    }


async def _beat(late: list[float]) -> None:
    """Note by how much each heartbeat comes too late."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(HEARTBEAT_S)
        late.append(time.perf_counter() - before - HEARTBEAT_S)


def _rss_kib() -> int:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
