"""Pauses of a whole API key, which the service asks for by its answers.

- `Retry-After` (RFC 9110, section 10.2.3) on any error pauses for the time that it says. A date counts from the
  answer's own `Date`, or from this machine's clock if the answer has none (`exchange.retries`).
- A 503 without `Retry-After` pauses for the cool-down. The service cools a key down for 30 minutes if it goes beyond
  its bursts repeatedly, and says so by 503 (see `limits`). Asking again meanwhile could only lengthen the cool-down.
- A 429 without `Retry-After` pauses for 1 s, 2 s, 4 s, up to a minute, while more of them come and nothing is answered.

An answer clears the refusals before it, so that the next backoff begins at 1 s, and it earns credit. If the credit
covers a refusal, there is no pause: one refusal among `ANSWERS_TO_A_REFUSAL` answers says nothing about other requests,
and a pause for each such refusal would take longer than the work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nomyo.errors import APIError, RateLimitError, ServiceUnavailableError
from nomyo.exchange.retries import parse_retry_after

from .limits import SECOND_NS, Limits

FIRST_BACKOFF_S: Final = 1.0
MAX_BACKOFF_S: Final = 60.0
ANSWERS_TO_A_REFUSAL: Final = 20
MAX_CREDIT: Final = 60
_FORGOTTEN_AFTER_NS: Final = 60 * SECOND_NS
MAX_STRIKES: Final = 7  # 2 ** 6 is beyond the longest backoff


@dataclass(slots=True)
class Pause:
    """Until when nothing is sent, and how many refusals in a row led to that."""

    until_ns: int = 0
    strikes: int = 0
    credit: int = 0
    """Answers that have not yet covered a refusal."""

    @property
    def settled(self) -> bool:
        """Whether one more answer would change nothing."""
        return not self.strikes and self.credit == MAX_CREDIT

    def joined(self, other: Pause) -> Pause:
        """Return the pause that lasts longer."""
        later = max(self, other, key=lambda each: each.until_ns)
        return Pause(later.until_ns, later.strikes, later.credit)

    def answered(self) -> None:
        """Clear refusals, and earn credit."""
        self.strikes = 0
        self.credit = min(self.credit + 1, MAX_CREDIT)

    def note(self, limits: Limits, error: BaseException, now_ns: int) -> None:
        """Pause as long as an error asks for; most errors ask for no pause. A pause is never shortened."""
        if not isinstance(error, APIError):
            return
        requested_s = parse_retry_after(error.retry_after)
        if requested_s is None and not isinstance(error, (RateLimitError, ServiceUnavailableError)):
            return
        if requested_s is None and isinstance(error, ServiceUnavailableError):
            requested_s = limits.cool_down_s
        if requested_s is None or requested_s < FIRST_BACKOFF_S:
            # If the service asks for almost no pause and then refuses again, the backoff still grows.
            self.back_off(now_ns, ANSWERS_TO_A_REFUSAL, limits.longest_pause_s)
        if requested_s is not None:
            self._until(now_ns, min(requested_s, limits.longest_pause_s))

    def back_off(self, now_ns: int, cost: int, max_s: float = MAX_BACKOFF_S) -> None:
        """Pause for 1 s, 2 s, 4 s, up to a minute: longer with each failure.

        During a pause, further failures count as the same one, because their requests were sent before the pause.

        Args:
            now_ns: The time.
            cost: How much credit covers the failure, which then causes no pause.
            max_s: The longest pause.
        """
        if now_ns < self.until_ns:
            return
        if self.credit >= cost:
            self.credit -= cost
            return
        forgotten = now_ns >= self.until_ns + _FORGOTTEN_AFTER_NS
        self.strikes = 1 if forgotten else min(self.strikes + 1, MAX_STRIKES)
        self._until(now_ns, min(backoff_s(self.strikes), max_s))

    def _until(self, now_ns: int, pause_s: float) -> None:
        self.until_ns = max(self.until_ns, now_ns + int(pause_s * SECOND_NS))


def backoff_s(strikes: int) -> float:
    """Return the seconds to wait after `strikes` failures in a row; `strikes` is at least 1."""
    return float(min(FIRST_BACKOFF_S * 2.0 ** (min(strikes, MAX_STRIKES) - 1), MAX_BACKOFF_S))
