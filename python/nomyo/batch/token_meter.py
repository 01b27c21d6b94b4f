"""What the rows of a batch take in tokens: estimates it, asks the admission for it, and corrects it by `usage`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nomyo._counts import total
from nomyo.batch.admission import Admission, TokenAdmission
from nomyo.batch.governor.token_pace import Charge
from nomyo.batch.records import tokens_of
from nomyo.batch.token_estimate import TokenEstimate
from nomyo.responses import ChatCompletionResponse


class TokenMeter:
    """The tokens of one batch.

    Args:
        admission: Decides when a request may leave; if it is no `TokenAdmission`, it is not told of tokens.
    """

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.estimate = TokenEstimate()

    async def acquire(self, body: Mapping[str, Any]) -> Charge | None:
        """Wait until a request may leave; return what it was charged with."""
        if isinstance(self._admission, TokenAdmission) and self._admission.counts_tokens:
            return await self._admission.acquire_tokens(total(*self.estimate.of(body)))
        await self._admission.acquire()
        return None

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
