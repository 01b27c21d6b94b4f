"""When a request of so many tokens may go, by a rate of tokens a minute; no I/O, and no clock of its own.

A request is charged at its start with the tokens that it is expected to take, because nobody knows them before its
answer. The answer's `usage` then corrects the charge: what was too much is given back at the second of the start, and
what was too little is charged at once. The charges keep these rules, and `tests/batch/test_token_pace.py` proves them
over every window of every schedule:

- no window of 60 seconds holds more than the rate, apart from corrections: they come after the tokens were taken;
- requests are spread evenly: the next one waits for as long as the rate takes for the tokens of the one before;
- a request that is expected to take more than a minute's tokens is sent alone, and counts as a minute's.

Charges are kept by whole seconds, so a minute's take up to 61 seconds to be free again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .limits import SECOND_NS, Limits

WINDOW_S: Final = 60
LONGEST_DEBT_NS: Final = 3600 * SECOND_NS
"""No correction delays the next request for longer: a router may claim any usage."""
_KEPT_S: Final = WINDOW_S + 1


@dataclass(frozen=True, slots=True)
class Charge:
    """What a request was charged with when it went."""

    at_ns: int
    tokens: int


@dataclass(slots=True)
class TokenPace:
    """What is remembered of the tokens of requests that were sent."""

    free_ns: int = 0
    """When the rate has made room for all that was charged."""
    charged: dict[int, int] = field(default_factory=dict)
    """The tokens of each second of the last minute, oldest first."""
    changes: int = 0
    """How often this was changed. If the figure goes back, the books were lost."""

    def copy(self) -> TokenPace:
        """Return a copy, on which future requests can be tried."""
        return TokenPace(self.free_ns, dict(self.charged), self.changes)

    def used_up(self, limits: Limits, now_ns: int) -> TokenPace:
        """Return this pace with all that the rate allows in a minute charged just now."""
        exhausted = self.copy()
        exhausted.record(limits, limits.tokens_per_min or 0, now_ns)
        return exhausted

    def earliest_ns(self, limits: Limits, tokens: int, now_ns: int) -> int:
        """Return when a request of so many tokens may go: `now_ns`, or later."""
        if limits.tokens_per_min is None or not tokens:
            return now_ns
        earliest_ns = max(now_ns, self.free_ns)
        kept = [(second, charged) for second, charged in self.charged.items() if _ends_ns(second) > now_ns]
        over = min(tokens, limits.tokens_per_min) + sum(charged for _, charged in kept) - limits.tokens_per_min
        for second, charged in kept:
            if over <= 0:
                break
            over -= charged
            earliest_ns = max(earliest_ns, _ends_ns(second))
        return earliest_ns

    def record(self, limits: Limits, tokens: int, now_ns: int) -> Charge:
        """Charge a request that goes now, which `earliest_ns` allowed."""
        if limits.tokens_per_min is None or not tokens:
            return Charge(now_ns, 0)
        charge = Charge(now_ns, min(tokens, limits.tokens_per_min))
        self._add(limits, charge.tokens, now_ns)
        return charge

    def settle(self, limits: Limits, charge: Charge, tokens: int, now_ns: int) -> None:
        """Correct a charge by the tokens that the request took."""
        if limits.tokens_per_min is None or tokens == charge.tokens:
            return
        if tokens > charge.tokens:
            self._add(limits, tokens - charge.tokens, now_ns)
            return
        self.changes += 1
        given_back = charge.tokens - tokens
        self.free_ns = max(0, self.free_ns - given_back * WINDOW_S * SECOND_NS // limits.tokens_per_min)
        second = charge.at_ns // SECOND_NS
        if second in self.charged:
            self.charged[second] = max(0, self.charged[second] - given_back)

    def _add(self, limits: Limits, tokens: int, now_ns: int) -> None:
        assert limits.tokens_per_min is not None
        self.changes += 1
        cost_ns = -(-tokens * WINDOW_S * SECOND_NS // limits.tokens_per_min)
        self.free_ns = min(max(self.free_ns, now_ns) + cost_ns, now_ns + LONGEST_DEBT_NS)
        kept = {second: charged for second, charged in self.charged.items() if _ends_ns(second) > now_ns}
        second = now_ns // SECOND_NS
        self.charged = {**kept, second: kept.get(second, 0) + tokens}


def _ends_ns(second: int) -> int:
    """Return the first moment whose minute holds nothing of a second."""
    return (second + _KEPT_S) * SECOND_NS
