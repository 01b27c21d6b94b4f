"""Rate headers of answers, as many services send them: a governor keeps to them if they are stricter than its limits.

`x-ratelimit-limit-requests`, `-remaining-requests` and `-reset-requests`, the same of `tokens`, and other spellings of
these (`exchange.limit_headers`). A limit is taken for one of a minute, as most of
these are; a day's limit is no stricter if it is taken for a minute's. What remains may be sent before the reset; all
else waits for the reset. A reset is `1s`, `6m0s`, `20ms`, or a number of
seconds.

A value that has none of these forms (text, a negative number), or is larger than `MAX_FIGURE`, is ignored, and so is a
reset of more than an hour: a service that means it refuses the next request, and says until when (`Retry-After`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from nomyo.exchange.limit_headers import KINDS, as_of_openai

from .limits import SECOND_NS

LONGEST_RESET_NS: Final = 3600 * SECOND_NS
KEPT_NS: Final = 600 * SECOND_NS
"""A limit holds for this long after the last answer that stated it."""
MINUTE_NS: Final = 60 * SECOND_NS
MAX_FIGURE: Final = 10**9
_FIGURE: Final = re.compile(r"[0-9]{1,10}")
_SECONDS: Final = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,9})?")
_DURATION: Final = re.compile(r"(?:[0-9]{1,6}(?:\.[0-9]{1,9})?(?:ms|[hms]))+")
_PART: Final = re.compile(r"([0-9.]+)(ms|[hms])")
_UNITS_S: Final = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True, slots=True)
class Stated:
    """What an answer's headers say of requests, or of tokens."""

    limit: int | None
    remaining: int | None
    reset_ns: int | None

    @property
    def says_something(self) -> bool:
        """Whether there is a limit, or a remainder with its reset."""
        return self.limit is not None or (self.remaining is not None and self.reset_ns is not None)


def stated_in(headers: Mapping[str, str]) -> Iterator[tuple[str, Stated]]:
    """Yield what headers say, by kind. Names are in lower case."""
    headers = as_of_openai(headers)
    for kind in KINDS:
        limit, remaining = (_figure(headers.get(f"x-ratelimit-{name}-{kind}")) for name in ("limit", "remaining"))
        stated = Stated(limit or None, remaining, _reset_ns(headers.get(f"x-ratelimit-reset-{kind}")))
        if stated.says_something:
            yield kind, stated


def closed_s(stated: Mapping[str, Stated]) -> float:
    """Return the seconds for which headers allow no request, from what they say by kind."""
    requests = stated.get("requests")
    return (requests.reset_ns or 0) / SECOND_NS if requests is not None and requests.remaining == 0 else 0.0


def _figure(text: str | None) -> int | None:
    if text is None or not _FIGURE.fullmatch(text.strip()):
        return None
    return figure if (figure := int(text)) <= MAX_FIGURE else None


def _reset_ns(text: str | None) -> int | None:
    text = (text or "").strip()
    if _SECONDS.fullmatch(text):
        seconds = float(text)
    elif _DURATION.fullmatch(text):
        seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
    else:
        return None
    reset_ns = int(seconds * SECOND_NS)
    return reset_ns if reset_ns <= LONGEST_RESET_NS else None


@dataclass(slots=True)
class Advice:
    """What a service said last of requests, or of tokens, and what was sent since."""

    seen_ns: int
    limit: int | None = None
    """A minute's."""
    free_ns: int = 0
    """When the limit has made room for all that was sent."""
    left: int | None = None
    """What may go until `until_ns`."""
    until_ns: int = 0

    def heed(self, stated: Stated, now_ns: int) -> None:
        """Take over what an answer says; an older answer's words are forgotten."""
        if not self.holds(now_ns):
            self.free_ns = now_ns
        self.seen_ns = now_ns
        self.limit = stated.limit
        if stated.remaining is not None and stated.reset_ns is not None:
            self.left, self.until_ns = stated.remaining, now_ns + stated.reset_ns

    def holds(self, now_ns: int) -> bool:
        """Return whether the limit still applies."""
        return now_ns < max(self.seen_ns + KEPT_NS, self.until_ns)

    def earliest_ns(self, amount: int, now_ns: int) -> int:
        """Return when so many requests or tokens may be sent: `now_ns`, or later."""
        if not amount:
            return now_ns
        earliest_ns = now_ns
        if self.limit is not None and self.holds(now_ns):
            earliest_ns = max(now_ns, self.free_ns)
        if self.left is not None and self.left < amount:
            earliest_ns = max(earliest_ns, self.until_ns)
        return earliest_ns

    def record(self, amount: int, now_ns: int) -> None:
        """Record that so many requests or tokens are sent now."""
        if self.limit is not None and self.holds(now_ns):
            self.free_ns = max(self.free_ns, now_ns) + min(amount, self.limit) * MINUTE_NS // self.limit
        if self.left is not None:
            self.left = max(0, self.left - amount) if now_ns < self.until_ns else None

    def settle(self, charged: int, used: int, now_ns: int) -> None:
        """Correct what was recorded, by a minute at most."""
        if self.limit is not None and self.holds(now_ns):
            change = min(used, self.limit) - min(charged, self.limit)
            self.free_ns = max(0, min(self.free_ns + change * MINUTE_NS // self.limit, now_ns + LONGEST_RESET_NS))
