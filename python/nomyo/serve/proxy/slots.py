"""Concurrency slots: how many requests are at the router at once, and how many more may wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from nomyo.serve.proxy.refusal import Refusal

_RETRY_AFTER_S = 1


class Slots:
    """At most `at_once` requests are sealed, sent and opened at once; at most `waiting` more wait.

    This also bounds the memory that requests take.

    Args:
        at_once: The number of slots.
        waiting: How many requests may wait for a slot.
        patience_s: Seconds for which a request waits at most.
    """

    def __init__(self, at_once: int, waiting: int, patience_s: float) -> None:
        self._limit = at_once + waiting
        self._slots = asyncio.Semaphore(at_once)
        self._patience_s = patience_s
        self.inside = 0
        """Requests that were let in and are not answered yet."""
        self.at_work = 0
        """Requests that have a slot."""

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a request from before its body is read until it is answered.

        Raises:
            Refusal: 429, if there are too many requests already.
        """
        if self.inside >= self._limit:
            raise _too_many("There are too many requests at once")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot for a block; wait until one is free.

        Raises:
            Refusal: 429, if no slot became free in time.
        """
        try:
            async with asyncio.timeout(self._patience_s):  # before 3.12, wait_for may miss a cancellation
                await self._slots.acquire()
        except TimeoutError:
            raise _too_many("The request waited too long for others to be answered") from None
        self.at_work += 1
        try:
            yield
        finally:
            self.at_work -= 1
            self._slots.release()


def _too_many(words: str) -> Refusal:
    return Refusal(429, "too_many_requests", words, retry_after_s=_RETRY_AFTER_S)
