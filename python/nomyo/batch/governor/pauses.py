"""Pauses of a whole API key, which the service asks for by its answers.

- `Retry-After` (RFC 9110, section 10.2.3) on any error pauses for what it says. A date is made seconds when it comes;
  that is the one time that the wall clock is asked.
- 503 without it pauses for the cool-down: the service gives one of 30 minutes to a key that goes beyond its bursts
  repeatedly, and says so by 503 (see `limits`). To ask again meanwhile could only lengthen it.
- 429 without it pauses for 1 s, 2 s, 4 s, up to a minute, as long as more of them come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nomyo.errors import APIError, RateLimitError, ServiceUnavailableError
from nomyo.exchange.retries import parse_retry_after

from .limits import SECOND_NS, Limits

FIRST_BACKOFF_S: Final = 1.0
LONGEST_BACKOFF_S: Final = 60.0
_FORGOTTEN_AFTER_NS: Final = 60 * SECOND_NS
MOST_STRIKES: Final = 7  # 2 ** 6 is beyond the longest backoff


@dataclass(slots=True)
class Pause:
    """Until when nothing is sent, and how often in a row the service asked for it."""

    until_ns: int = 0
    strikes: int = 0

    def joined(self, other: Pause) -> Pause:
        """Return the longer of both."""
        later = max(self, other, key=lambda each: (each.until_ns, each.strikes))
        return Pause(later.until_ns, later.strikes)

    def note(self, limits: Limits, error: BaseException, now_ns: int) -> None:
        """Pause for what an error asks for; most errors ask for nothing. A pause is never shortened."""
        if not isinstance(error, APIError):
            return
        asked_s = parse_retry_after(error.retry_after)
        if asked_s is None and not isinstance(error, (RateLimitError, ServiceUnavailableError)):
            return
        if asked_s is None and isinstance(error, ServiceUnavailableError):
            asked_s = limits.cool_down_s
        # Whoever asks for next to nothing, and refuses again, is backed off from.
        pause_s = self._backoff_s(now_ns) if asked_s is None or asked_s < FIRST_BACKOFF_S else asked_s
        pause_s = min(pause_s, limits.longest_pause_s)
        self._until(now_ns + int(pause_s * SECOND_NS))

    def back_off(self, now_ns: int) -> None:
        """Pause for 1 s, 2 s, 4 s, up to a minute, as long as there is reason to."""
        if now_ns >= self.until_ns:
            self._until(now_ns + int(self._backoff_s(now_ns) * SECOND_NS))

    def _until(self, moment_ns: int) -> None:
        self.until_ns = max(self.until_ns, moment_ns)

    def _backoff_s(self, now_ns: int) -> float:
        """Count a strike, and return its backoff; errors of requests sent before a pause began are one strike."""
        if now_ns >= self.until_ns:
            forgotten = now_ns >= self.until_ns + _FORGOTTEN_AFTER_NS
            self.strikes = 1 if forgotten else min(self.strikes + 1, MOST_STRIKES)
        return min(FIRST_BACKOFF_S * 2.0 ** (self.strikes - 1), LONGEST_BACKOFF_S)
