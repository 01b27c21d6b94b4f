"""Admission: when a request may leave. The sender asks before each request, and waits while its router is away.

The governor keeps the rate and the pauses that the service asks for, and shares them with other processes. If the
router cannot be reached, that may be this batch's own network, so only this batch waits.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from nomyo.batch.governor.clock import Clock, SystemClock
from nomyo.batch.governor.limits import SECOND_NS
from nomyo.batch.governor.pauses import MAX_BACKOFF_S, Pause, backoff_s
from nomyo.batch.governor.token_pace import Charge
from nomyo.batch.verdict import is_unrelated_to_rates
from nomyo.errors import NomyoError, RateLimitError


class Admission(Protocol):
    """Decides when a request may leave; a `Governor`, for example. An `AnswerListener` is also told of each answer."""

    async def acquire(self) -> None:
        """Wait until one more request may leave."""

    async def note(self, error: NomyoError) -> float:
        """Record a failure that concerns all requests; return for how many seconds nothing is sent."""


@runtime_checkable
class AnswerListener(Protocol):
    """An admission that is told of answers as well as of failures."""

    def answered(self) -> None:
        """Record an answer."""


@runtime_checkable
class TokenAdmission(Protocol):
    """An admission that may also keep a rate of tokens."""

    @property
    def counts_tokens(self) -> bool:
        """Whether it keeps one. Then callers use `acquire_tokens` instead of `acquire`."""

    async def acquire_tokens(self, tokens: int) -> Charge:
        """Wait until a request that is expected to take so many tokens may leave."""

    def used(self, charge: Charge, tokens: int) -> None:
        """Correct a charge by the tokens that an answer took."""


@runtime_checkable
class HeaderAdmission(Protocol):
    """An admission that keeps to what services say of their limits in the headers of answers."""

    def heed(self, headers: Mapping[str, str]) -> float:
        """Take headers into account; return for how many seconds they allow no request."""


class Outage:
    """Pauses a batch while its router cannot be reached: 1 s, 2 s, 4 s, up to a minute.

    While other requests are answered there is no pause: each answer makes up for one lost connection.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = SystemClock() if clock is None else clock
        self._pause = Pause()

    async def wait_until_over(self) -> None:
        """Wait until the pause is over."""
        while (left_ns := self._pause.until_ns - self._clock.now_ns()) > 0:
            await self._clock.sleep(min(left_ns, SECOND_NS))

    def note(self) -> float:
        """Pause; return for how many seconds. Of all requests under way, only the first to fail prolongs the pause."""
        now_ns = self._clock.now_ns()
        self._pause.back_off(now_ns, cost=1)
        return max(0, self._pause.until_ns - now_ns) / SECOND_NS

    def answered(self) -> None:
        """Record an answer, which ends the pause."""
        self._pause.answered()
        self._pause.until_ns = min(self._pause.until_ns, self._clock.now_ns())

    async def wait_before_retry(self, failures: int) -> None:
        """Wait before a row's next attempt: 0 s after its first failure, then 1 s, 2 s, ... 60 s."""
        if failures > 1:
            await self._clock.sleep(int(backoff_s(failures - 1) * SECOND_NS))


def describe_next_try(error: NomyoError, pause_s: float) -> str:
    """Return when a batch tries again after a pause, as the end of a message; "" if there is no pause.

    The message is the only one of a trouble, so it also says how the batch goes on trying.
    """
    if not pause_s:
        return ""
    now_s = time.time()
    now, then = time.localtime(now_s), time.localtime(now_s + pause_s)
    moment = time.strftime("%H:%M:%S" if then[:3] == now[:3] else "%Y-%m-%d %H:%M:%S", then)
    backs_off = is_unrelated_to_rates(error) or (isinstance(error, RateLimitError) and error.retry_after is None)
    further = f", further ones at most {MAX_BACKOFF_S:g} s apart" if backs_off else ""
    return f"; next try at {moment}{further}"
