"""One rate for all actors of a cluster that use one API key: a governor in an actor of its own.

The actor is detached, so that it outlasts jobs, and whoever made it. It knows a name made of the key, from which the
key cannot be found, and no content. A new one, and one whose node died, does not know what was sent before: all that
the limits allow counts as used up then, so that the rate holds. A pause is forgotten; the service asks for it again.

Each asker has one question under way, for the first of its waiting requests. So actors take turns, and one that dies
while it waits costs one turn. Without a limit there are no turns to be lost, and all requests ask.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import nullcontext
from typing import Any, Final

import ray

from nomyo.batch.governor import Governor, Limits
from nomyo.batch.governor.clock import Clock
from nomyo.batch.governor.shared_file import OwnMemory
from nomyo.errors import APIError, BatchError, NomyoError, RateLimitError, ServiceUnavailableError

NAMESPACE: Final = "nomyo"
_MOST_ASKERS: Final = 10_000
_UNKNOWN: Final = b"unknown"
_NOTED: Final[dict[int, type[APIError]]] = {429: RateLimitError, 503: ServiceUnavailableError}


class ClusterGovernor:
    """What the actor runs: one set of books, and a governor for each set of limits.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self._books = OwnMemory()
        self._books.replace(_UNKNOWN)  # no books that can be read: all counts as used up (Ledger.parse)
        self._governors: dict[Limits, Governor] = {}

    async def acquire(self, limits: Limits) -> None:
        """Return when a request may be sent."""
        await self._governor(limits).acquire()

    async def note(self, limits: Limits, status_code: int | None, retry_after: str | None) -> float:
        """Pause all requests, where an answer with this status and `Retry-After` asks for it; return for how long."""
        kind = _NOTED.get(status_code or 0, APIError)
        return await self._governor(limits).note(kind("", status_code, retry_after=retry_after))

    def _governor(self, limits: Limits) -> Governor:
        if limits not in self._governors:
            self._governors[limits] = Governor(limits, self._books, self._clock)
        return self._governors[limits]


class ClusterRate:
    """Asks the governor of the cluster; an `Admission`, for one event loop.

    Args:
        name: Of the API key at its service; see `nomyo.batch.governor.governor.name_of`.
        limits: The service's rules.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        self._limits = limits
        self._governor = governor_actor(name)
        self._first = asyncio.Lock()

    async def acquire(self) -> None:
        """Return when one more request may be sent; first come, first served within this actor.

        Raises:
            BatchError: The governor cannot be asked.
        """
        async with self._first if not self._limits.unlimited else nullcontext():
            await _answer(self._governor.acquire.remote(self._limits))

    async def note(self, error: NomyoError) -> float:
        """Pause, and return for how many seconds; what the governor hears are the status and `Retry-After`, no words.

        Raises:
            BatchError: The governor cannot be asked.
        """
        if not isinstance(error, APIError):
            return 0.0
        paused_s: float = await _answer(self._governor.note.remote(self._limits, error.status_code, error.retry_after))
        return paused_s


async def _answer(asked: Awaitable[Any]) -> Any:
    try:
        return await asked
    except ray.exceptions.RayError:
        pass  # its words may be long, and its cause holds frames
    raise BatchError("the actor that keeps the rate of the cluster cannot be asked")


def governor_actor(name: str) -> Any:
    """Return the handle of the governor of that name, which is made where there is none."""
    return ray.remote(ClusterGovernor).options(**options_of(name)).remote()


def options_of(name: str) -> dict[str, Any]:
    """Return what Ray is asked for: one actor of that name, again after each death."""
    return {
        "name": f"rate-{name}",
        "namespace": NAMESPACE,
        "get_if_exists": True,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": -1,  # a turn whose answer was lost with a node is spent
        "max_concurrency": _MOST_ASKERS,
    }
