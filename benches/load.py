"""Requests through whichever `nomyo` is installed, so many at once: a program for the throughput run, in either venv.

Reads a job as JSON from standard input (`options` of the client, `concurrency`, `seconds`, `text`) and prints what it
measured as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import warnings
from typing import Any

from nomyo import SecureChatCompletion

HEARTBEAT_S = 0.001


async def run(job: dict[str, Any]) -> dict[str, float]:
    client = SecureChatCompletion(**job["options"])
    messages = [{"role": "user", "content": job["text"]}]
    # Warmed up: connections are open, keys loaded, code paths taken.
    await asyncio.gather(*(client.create(model="m", messages=messages) for _ in range(job["concurrency"])))

    late: list[float] = []
    heart = asyncio.create_task(_beat(late))
    done = 0

    async def ask() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await client.create(model="m", messages=messages)
            done += 1

    wall, cpu = time.perf_counter(), time.process_time()
    end = wall + job["seconds"]
    await asyncio.gather(*(ask() for _ in range(job["concurrency"])))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    heart.cancel()
    late.sort()
    return {
        "requests": done,
        "requests_per_s": done / wall,
        "cpu_ms_per_request": cpu / done * 1e3,
        "stall_p99_ms": late[int(len(late) * 0.99)] * 1e3,
    }


async def _beat(late: list[float]) -> None:
    """Note by how much each heartbeat comes too late."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(HEARTBEAT_S)
        late.append(time.perf_counter() - before - HEARTBEAT_S)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(asyncio.run(run(json.load(sys.stdin)))))
