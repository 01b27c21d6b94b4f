"""A clock for governors that stands still until everybody waits, and then leaps to the next moment anyone waits for."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

BEGIN_NS = 7000 * 1_000_000_000


class VirtualClock:
    def __init__(self, boot: str = "boot") -> None:
        self.boot = boot
        self.now = BEGIN_NS
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        return self.now

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return (self.now - BEGIN_NS) / 1e9

    async def sleep(self, delay_ns: int) -> None:
        waking = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + delay_ns, next(self._order), waking))
        await waking

    async def _run(self, main: Coroutine[Any, Any, T]) -> T:
        task = asyncio.create_task(main)
        while not task.done():
            for _ in range(10):  # what is ready runs on until it waits
                await asyncio.sleep(0)
            if self._sleepers and not task.done():
                moment, _, waking = heapq.heappop(self._sleepers)
                if not waking.done():
                    self.now = max(self.now, moment)
                    waking.set_result(None)
        return await task

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        return asyncio.run(self._run(main))
