"""How many requests there may be: so many at the router, so many that wait, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from nomyo.serve.proxy.refusal import Refusal

_RETRY_AFTER_S = 1


class Places:
    """Bounds the requests in the proxy, and with them the memory that they take.

    Args:
        at_once: Requests that have their turn at once.
        waiting: Requests beyond these that wait.
        patience_s: Seconds for which one waits.
    """

    def __init__(self, at_once: int, waiting: int, patience_s: float) -> None:
        self._limit = at_once + waiting
        self._turns = asyncio.Semaphore(at_once)
        self._patience_s = patience_s
        self.inside = 0
        """Requests that were let in and are not answered yet."""
        self.at_work = 0
        """Those that have their turn."""

    @contextmanager
    def place(self) -> Iterator[None]:
        """Let a request in, before its body is read, until it is answered.

        Raises:
            Refusal: 429: there is no place left.
        """
        if self.inside >= self._limit:
            raise _too_many("There are too many requests at once")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a request's turn.

        Raises:
            Refusal: 429: it did not come in time.
        """
        try:
            async with asyncio.timeout(self._patience_s):  # before 3.12, wait_for may miss a cancellation
                await self._turns.acquire()
        except TimeoutError:
            raise _too_many("The request waited for its turn in vain") from None
        self.at_work += 1
        try:
            yield
        finally:
            self.at_work -= 1
            self._turns.release()


def _too_many(words: str) -> Refusal:
    return Refusal(429, "too_many_requests", words, retry_after_s=_RETRY_AFTER_S)
