"""Requests so many at once, through the client that a job names: a program of the throughput run, for any environment.

Reads a job as JSON from standard input (`client`, its `options`, `concurrency`, `text`, and `seconds` or `requests`;
`loop`: "uvloop" for that instead of asyncio's; `without`: names of libraries that cannot be imported) and prints what
it measured as JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import warnings
from collections.abc import Awaitable, Callable
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
    at_once = job["concurrency"]

    async def ask() -> None:
        await client.create(model="m", messages=messages)

    # Warmed up: connections are open, keys loaded, code paths taken.
    await asyncio.gather(*(ask() for _ in range(at_once)))
    peak_kib, rss_kib, late = memory_kib("VmHWM"), [], [0.0]
    heart = asyncio.create_task(_beat(late))
    seconds, most = job.get("seconds", float("inf")), job.get("requests", float("inf"))
    taken = await load(ask, at_once, seconds, most, lambda: rss_kib.append(memory_kib("VmRSS")))
    heart.cancel()
    rss_kib.append(memory_kib("VmRSS"))
    late.sort()
    return {
        **taken,
        # Without heartbeats, which take some of the loop's time.
        "loop_ms_per_request": (await load(ask, at_once, min(seconds, 1.0), most))["loop_ms_per_request"],
        "stall_p99_ms": late[int(len(late) * 0.99)] * 1e3,
        "stall_longest_ms": late[-1] * 1e3,
        "rss_kib": rss_kib,
        "peak_kib_warm": peak_kib,
    }


async def load(
    ask: Callable[[], Awaitable[None]],
    at_once: int,
    seconds: float,
    most: float,
    sample: Callable[[], None] = lambda: None,
) -> dict[str, float]:
    """Ask so many at once until a time or a number is reached; return figures of a request. Samples lie between."""
    done = 0

    async def work() -> None:
        nonlocal done
        while done < most and time.perf_counter() < end:
            await ask()
            done += 1
            if done * SAMPLES % most == 0:
                sample()

    wall, cpu, loop = time.perf_counter(), time.process_time(), time.thread_time()
    end = wall + seconds
    await asyncio.gather(*(work() for _ in range(at_once)))
    return {
        "requests": done,
        "requests_per_s": done / (time.perf_counter() - wall),
        "cpu_ms_per_request": (time.process_time() - cpu) / done * 1e3,
        "loop_ms_per_request": (time.thread_time() - loop) / done * 1e3,
    }


async def _beat(late: list[float]) -> None:
    """Note by how much each heartbeat comes too late."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(HEARTBEAT_S)
        late.append(time.perf_counter() - before - HEARTBEAT_S)


def memory_kib(figure: str) -> int:
    """Return what the kernel says of this process's memory (proc_pid_status(5)): VmRSS, VmHWM, VmLck."""
    found = re.search(rf"^{figure}:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) if found else 0


def in_loop_of(job: dict[str, Any]) -> Any:
    """Run the job in the loop that it names."""
    sys.modules.update(dict.fromkeys(job.get("without", ())))
    if job.get("loop") != "uvloop":
        return asyncio.run(run(job))
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(run(job))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(in_loop_of(json.load(sys.stdin))))
