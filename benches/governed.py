"""One of several processes that send under one governor.

It reads a job as JSON from a line of stdin, as `processes.py` writes it, prints "ready", begins at the next line, and
prints as JSON what it took and when each request was let go. A job without rows takes turns of the governor for so many
seconds, and sends nothing.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import warnings
from collections.abc import Mapping
from typing import Any

import nomyo.batch
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.progress import NoProgress


class Noting:
    """An admission that notes when it let each request go, as the books have it."""

    counts_tokens = False

    def __init__(self, governor: Governor) -> None:
        self._governor = governor
        self.moments_ns: list[int] = []

    async def acquire(self) -> None:
        charge = await self._governor.acquire_tokens(0)
        self.moments_ns.append(charge.at_ns)

    async def note(self, error: Any) -> float:
        return await self._governor.note(error)

    def answered(self) -> None:
        self._governor.answered()

    def heed(self, headers: Mapping[str, str]) -> float:
        return self._governor.heed(headers)


def main() -> None:
    job = json.loads(sys.stdin.readline())
    options = job["options"]
    limits = Limits(requests_per_s=job["rate"])
    admission = Noting(Governor.shared(limits, options["base_url"], options["api_key"], directory=job["directory"]))
    print("ready", flush=True)
    sys.stdin.readline()
    began = time.process_time()
    if "input" in job:
        nomyo.batch.run(job["input"], job["output"], governor=admission, progress=NoProgress(), **options)
    else:
        asyncio.run(take_turns(admission, job["seconds"]))
    print(json.dumps({"cpu_s": time.process_time() - began, "moments_ns": admission.moments_ns}))


async def take_turns(admission: Noting, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        await admission.acquire()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
