"""Asks for one answer after the other; the job and the figures are JSON, as `answer_sizes.py` has them."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import warnings
from typing import Any

from load import memory_kib

from nomyo import SecureChatCompletion

KIB = 1024
LOOK_EVERY_S = 0.0005
LOOKED_AT = 3


async def main(job: dict[str, Any]) -> dict[str, Any]:
    """Ask so many times, and then while another thread looks at locked memory; return the figures of this process."""
    messages = [{"role": "user", "content": job["text"]}]
    async with SecureChatCompletion(**job["options"]) as chat:

        async def ask() -> tuple[float, float]:
            wall, cpu = time.perf_counter(), time.process_time()
            await chat.create(model="m", messages=messages)
            return time.perf_counter() - wall, time.process_time() - cpu

        await ask()
        wall_s, cpu_s = (min(column) for column in zip(*[await ask() for _ in range(job["times"])], strict=True))
        done, seen_kib = threading.Event(), [0]
        looking = threading.Thread(target=look, args=(done, seen_kib))
        looking.start()
        for _ in range(LOOKED_AT):
            await ask()
        done.set()
        looking.join()
    figures = {"ms": wall_s * 1e3, "cpu_ms": cpu_s * 1e3}
    return {**figures, "peak_mib": memory_kib("VmHWM") / KIB, "locked_mib": max(seen_kib) / KIB}


def look(done: threading.Event, seen_kib: list[int]) -> None:
    """Note the locked memory of this process again and again."""
    while not done.wait(LOOK_EVERY_S):
        seen_kib.append(memory_kib("VmLck"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(asyncio.run(main(json.load(sys.stdin)))))
