"""One budget for all actors of a job: an actor of its own keeps what was spent, and what rows under way may take.

A row begins only if what it is expected to take fits into the budget beside all of that. A sender that is silent for a
minute is taken for dead. What it had reserved counts as spent, because its requests may have been answered and billed.
If the actor that keeps the budget dies, the job stops, and the same call goes on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import uuid4

import ray

from nomyo.batch.budget import Budget, Spending, Tokens, added
from nomyo.batch.ray.rate import answer_of

SILENT_S: Final = 60.0
"""After so many seconds without a sign, a sender is taken for dead."""
_SIGN_S: Final = 5.0
_MAX_CALLERS: Final = 10_000

Reply = tuple[bool, str | None, Tokens]
"""Whether a row may begin; the limit that ends the job, in words; what was spent. If neither, the sender asks again."""


@dataclass(slots=True)
class _Sender:
    heard: float
    reserved: list[Tokens] = field(default_factory=list)


class ClusterLedger:
    """What the actor runs.

    Args:
        budget: What the job may take.
        spent: What earlier runs took.
        now: Returns the time in seconds.
    """

    def __init__(self, budget: Budget, spent: Tokens, now: Callable[[], float] = time.monotonic) -> None:
        self._budget = budget
        self._spent = spent
        self._now = now
        self._senders: dict[str, _Sender] = {}
        self._changed = asyncio.Event()

    async def reserve(self, sender: str, tokens: Tokens) -> Reply:
        """Reserve tokens for a row. If they may fit later, wait some seconds for a change.

        Args:
            sender: The name of the sender.
            tokens: What the row is expected to take.
        """
        own = self._heard(sender)
        self._forget_silent()
        reserved = [each for other in self._senders.values() for each in other.reserved]
        exceeded = self._budget.exceeded_by(added(self._spent, tokens, *reserved))
        if exceeded is None:
            own.reserved.append(tokens)
            return True, None, self._spent
        if not reserved:
            return False, exceeded, self._spent
        self._changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), _SIGN_S)
        return False, None, self._spent

    async def release(self, sender: str, reserved: Tokens, taken: Tokens) -> None:
        """Record that a row has ended, and what it took."""
        own = self._heard(sender)
        if reserved in own.reserved:  # else the sender was taken for dead, and the row counts as it was reserved
            own.reserved.remove(reserved)
            self._spent = added(self._spent, taken)
        self._changed.set()

    async def sign(self, sender: str) -> None:
        """Record that a sender is alive."""
        self._heard(sender)

    async def total(self) -> Tokens:
        """Return what was spent, in all runs."""
        return self._spent

    def _heard(self, name: str) -> _Sender:
        sender = self._senders.setdefault(name, _Sender(self._now()))
        sender.heard = self._now()
        return sender

    def _forget_silent(self) -> None:
        silent = [name for name, sender in self._senders.items() if self._now() - sender.heard > SILENT_S]
        for name in silent:
            self._spent = added(self._spent, *self._senders.pop(name).reserved)


class ClusterSpending(Spending):
    """Asks the ledger of the job; for one event loop.

    Args:
        budget: What the job may take.
        ledger: The handle of the ledger.
    """

    def __init__(self, budget: Budget, ledger: Any) -> None:
        super().__init__(budget)
        self._ledger = ledger
        self._name = uuid4().hex
        self._signs: asyncio.Task[None] | None = None

    async def reserve(self, expected: Callable[[], Tokens]) -> Tokens | None:
        """Return what is reserved for a row that may begin; None if none may.

        Raises:
            BatchError: The ledger cannot be asked.
        """
        self._signs = self._signs or asyncio.create_task(self._give_signs())
        while not self.is_late():
            tokens = expected()
            granted, reached, self.spent = await self._ask(tokens)
            if granted:
                return tokens
            if reached is not None:
                self.reached = self.reached or reached
                return None
        return None

    def release(self, reserved: Tokens, taken: Tokens = (0, 0)) -> None:
        """Tell the ledger that a row has ended, and what it took. Does not wait for it."""
        with suppress(ray.exceptions.RayError):
            self._ledger.release.remote(self._name, reserved, taken)

    def close(self) -> None:
        """Give no more signs."""
        if self._signs is not None:
            self._signs.cancel()

    async def _ask(self, tokens: Tokens) -> Reply:
        asking: asyncio.Task[Reply] = asyncio.ensure_future(_reply(self._ledger.reserve.remote(self._name, tokens)))

        def give_back(asked: asyncio.Task[Reply]) -> None:
            if not asked.cancelled() and asked.exception() is None and asked.result()[0]:
                self.release(tokens)

        try:
            return await asyncio.shield(asking)
        except asyncio.CancelledError:
            asking.add_done_callback(give_back)
            raise

    async def _give_signs(self) -> None:
        while True:
            await asyncio.sleep(_SIGN_S)
            with suppress(ray.exceptions.RayError):
                self._ledger.sign.remote(self._name)


async def _reply(call: Awaitable[Any]) -> Reply:
    reply: Reply = await answer_of(call, "the budget of the job")
    return reply


def ledger_actor(budget: Budget, spent: Tokens) -> Any:
    """Return the handle of a new ledger, which ends with the job."""
    return ray.remote(ClusterLedger).options(num_cpus=0, max_concurrency=_MAX_CALLERS).remote(budget, spent)


def spent_of(ledger: Any) -> Tokens:
    """Return what was spent, as a ledger knows it."""
    total: Tokens = ray.get(ledger.total.remote())
    return total
