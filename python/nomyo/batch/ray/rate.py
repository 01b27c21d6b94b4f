"""One rate for all actors of a cluster that use one API key: a governor in an actor of its own.

The governor's actor is detached, so it goes on when a job, or the actor that made it, ends. It knows a name that is
derived from the key, from which the key cannot be found, and no content. A new governor, or one whose node died, does
not know what was sent before. So it begins with an exhausted rate, and the rate is kept. A pause is lost, but the
service asks for it again.

Each sending actor has one question under way, for the first of its waiting requests. So actors take turns, and an actor
that dies while it waits costs one turn. Without a limit there are no turns, and all requests ask at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from contextlib import nullcontext, suppress
from typing import Any, Final

import ray

from nomyo.batch.governor import Governor, Limits
from nomyo.batch.governor.clock import Clock
from nomyo.batch.governor.rate_headers import closed_s, stated_in
from nomyo.batch.governor.shared_file import ProcessMemory
from nomyo.batch.governor.token_pace import Charge
from nomyo.errors import APIError, BatchError, NomyoError, RateLimitError, ServiceUnavailableError

NAMESPACE: Final = "nomyo"
_MAX_CALLERS: Final = 10_000
_UNKNOWN: Final = b"unknown"
_NOTED: Final[dict[int, type[APIError]]] = {429: RateLimitError, 503: ServiceUnavailableError}


class ClusterGovernor:
    """What the actor runs: one set of books, and a governor for each set of limits.

    Args:
        clock: The clock.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock
        self._books = ProcessMemory()
        self._books.replace(_UNKNOWN)  # books that cannot be read: an exhausted rate (Ledger.parse)
        self._governors: dict[Limits, Governor] = {}

    async def acquire(self, limits: Limits) -> bool:
        """Wait until a request may be sent; return whether one more answer would change nothing."""
        return (await self.acquire_tokens(limits, 0))[0]

    async def acquire_tokens(self, limits: Limits, tokens: int) -> tuple[bool, Charge]:
        """As `acquire`, for a request of so many tokens; return what it was charged with, too."""
        governor = self._governor(limits)
        charge = await governor.acquire_tokens(tokens)
        return governor.settled, charge

    async def used(self, limits: Limits, charge: Charge, tokens: int) -> None:
        """Correct a charge by the tokens that an answer took."""
        self._governor(limits).used(charge, tokens)

    async def heed(self, limits: Limits, headers: Mapping[str, str]) -> None:
        """Keep to what an answer's headers say of the service's limits, where that is stricter."""
        self._governor(limits).heed(headers)

    async def answered(self, limits: Limits) -> None:
        """Record an answer, which clears earlier refusals."""
        self._governor(limits).answered()

    async def note(self, limits: Limits, status_code: int | None, retry_after: str | None) -> float:
        """Pause all requests if an answer with this status and `Retry-After` asks for it; return the seconds."""
        kind = _NOTED.get(status_code or 0, APIError)
        return await self._governor(limits).note(kind("", status_code, retry_after=retry_after))

    def _governor(self, limits: Limits) -> Governor:
        if limits not in self._governors:
            self._governors[limits] = Governor(limits, self._books, self._clock)
        return self._governors[limits]


class ClusterRate:
    """Asks the governor of the cluster; an `Admission` for one event loop.

    Args:
        name: A name for the API key at its service; see `nomyo.batch.governor.governor.name_of`.
        limits: The service's rules.
    """

    def __init__(self, name: str, limits: Limits) -> None:
        self._limits = limits
        self._governor = governor_actor(name)
        self._queue = asyncio.Lock()
        self._settled = False
        self._told_of_tokens = False

    async def acquire(self) -> None:
        """Wait until one more request may be sent; first come, first served within this actor.

        Raises:
            BatchError: The governor cannot be asked.
        """
        async with self._queue if self._limits.in_line else nullcontext():
            self._settled = await answer_of(self._governor.acquire.remote(self._limits))

    @property
    def counts_tokens(self) -> bool:
        """Whether there is a rate of tokens, of its own or by the service's headers."""
        return self._limits.tokens_per_min is not None or self._told_of_tokens

    async def acquire_tokens(self, tokens: int) -> Charge:
        """Wait until a request of so many tokens may be sent; return what it was charged with.

        Raises:
            BatchError: The governor cannot be asked.
        """
        charge: Charge
        async with self._queue:
            answer = await answer_of(self._governor.acquire_tokens.remote(self._limits, tokens))
        self._settled, charge = answer
        return charge

    def used(self, charge: Charge, tokens: int) -> None:
        """Tell the governor what an answer took, if there is a rate of tokens. Does not wait for it."""
        if self.counts_tokens:
            with suppress(ray.exceptions.RayError):
                self._governor.used.remote(self._limits, charge, tokens)

    def heed(self, headers: Mapping[str, str]) -> float:
        """Tell the governor what an answer's headers say of limits; return for how many seconds they allow no request.

        Does not wait for it.
        """
        stated = dict(stated_in(headers))
        if not stated:
            return 0.0
        self._told_of_tokens = self._told_of_tokens or "tokens" in stated
        with suppress(ray.exceptions.RayError):
            self._governor.heed.remote(self._limits, dict(headers))
        return closed_s(stated)

    def answered(self) -> None:
        """Tell the governor of an answer, unless that would change nothing. Does not wait for it."""
        if not self._settled:
            with suppress(ray.exceptions.RayError):
                self._governor.answered.remote(self._limits)

    async def note(self, error: NomyoError) -> float:
        """Pause; return for how many seconds. The governor gets the status and `Retry-After`, but no message.

        Raises:
            BatchError: The governor cannot be asked.
        """
        if not isinstance(error, APIError):
            return 0.0
        self._settled = False
        noting = self._governor.note.remote(self._limits, error.status_code, error.retry_after)
        paused_s: float = await answer_of(noting)
        return paused_s


async def answer_of(call: Awaitable[Any], kept: str = "the rate of the cluster") -> Any:
    """Return what an actor answers.

    Raises:
        BatchError: It cannot be asked; the message says what it keeps.
    """
    try:
        return await call
    except ray.exceptions.RayError:
        pass  # Ray's message may be long, and its cause holds frames
    raise BatchError(f"the actor that keeps {kept} cannot be asked")


def governor_actor(name: str) -> Any:
    """Return the handle of the governor with this name; it is made if it does not exist."""
    return ray.remote(ClusterGovernor).options(**options_of(name)).remote()


def options_of(name: str) -> dict[str, Any]:
    """Return Ray's options for the governor: one actor with this name, which is restarted after each death."""
    return {
        "name": f"rate-{name}",
        "namespace": NAMESPACE,
        "get_if_exists": True,
        "lifetime": "detached",
        "num_cpus": 0,
        "max_restarts": -1,
        "max_task_retries": -1,  # a turn whose answer was lost with a node is spent
        "max_concurrency": _MAX_CALLERS,
    }
