"""Threads that seal and open for event loops, held up by tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nomyo.exchange.crypto_threads import CryptoThreads
from nomyo.exchange.effects import Compute


@contextmanager
def crypto_threads(count: int) -> Iterator[CryptoThreads]:
    threads = CryptoThreads(count)
    try:
        yield threads
    finally:
        threads.end()


class Held:
    """Work that keeps a thread busy until the test lets it go."""

    def __init__(self) -> None:
        self.begun, self.released = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.released.wait(20)
        return "released"

    async def busy(self, threads: CryptoThreads) -> asyncio.Task[Any]:
        """Return the task of this work, which has begun."""
        task = asyncio.create_task(threads.do(Compute(self)))
        await asyncio.to_thread(self.begun.wait, 20)
        return task


def run_behind_one_that_is_held(
    threads: CryptoThreads,
    *works: Compute,
    meanwhile: Callable[[list[asyncio.Task[Any]]], Awaitable[None]] | None = None,
) -> list[Any]:
    """Have the only thread come to all works at once; return their outcomes."""

    async def main() -> list[Any]:
        held = Held()
        first = await held.busy(threads)
        tasks = [asyncio.create_task(threads.do(work)) for work in works]
        while threads.waiting < len(works):
            await asyncio.sleep(0)
        if meanwhile is not None:
            await meanwhile(tasks)
        held.released.set()
        assert await first == "released"
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(main())
