"""Counts the tokens of a batch's rows: estimates them, asks the admission for them, and corrects them by `usage`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from nomyo._counts import total
from nomyo.batch.admission import Admission, HeaderAdmission, TokenAdmission
from nomyo.batch.governor.token_pace import Charge
from nomyo.batch.records import tokens_of
from nomyo.batch.token_estimate import TokenEstimate
from nomyo.responses import ChatCompletionResponse

_LONG_PAUSE_S: Final = 60.0
"""Pauses longer than this are reported."""


class TokenMeter:
    """The tokens of one batch.

    Args:
        admission: Decides when a request may be sent; tokens count only if it is a `TokenAdmission`.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.estimate = TokenEstimate()
        self._told_until = 0.0

    async def acquire(self, body: Mapping[str, Any]) -> Charge | None:
        """Wait until a request may leave; return what it was charged with."""
        if isinstance(self._admission, TokenAdmission) and self._admission.counts_tokens:
            return await self._admission.acquire_tokens(total(*self.estimate.of(body)))
        await self._admission.acquire()
        return None

    def heed(self, headers: Mapping[str, str], report: Callable[[str], None]) -> None:
        """Keep to an answer's rate headers, and report if they allow no request for more than a minute."""
        if not headers or not isinstance(self._admission, HeaderAdmission):
            return
        pause_s, now = self._admission.heed(headers), time.monotonic()
        if pause_s > _LONG_PAUSE_S and now + pause_s > self._told_until + _LONG_PAUSE_S:
            self._told_until = now + pause_s
            report(f"the router's rate headers allow no more requests: waiting for {pause_s:,.0f} s")

    def answered(self, body: Mapping[str, Any], charge: Charge | None, response: ChatCompletionResponse) -> None:
        """Take an answer into account. If the router gave no `usage`, the charge stays as it is."""
        tokens = tokens_of(response)
        self.estimate.learn(body, *tokens)
        if charge is not None and any(tokens) and isinstance(self._admission, TokenAdmission):
            self._admission.used(charge, total(*tokens))


def taken_by(answer: ChatCompletionResponse, expected: tuple[int, int]) -> tuple[int, int]:
    """Return the tokens that an answer took; those that were expected if the router gave no `usage`."""
    tokens = tokens_of(answer)
    return tokens if any(tokens) else expected
