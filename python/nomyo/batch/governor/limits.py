"""The service's rules: how many requests an API key may send, and how long it is to wait.

The public service states them at two places that disagree, so none is built in beyond a default that can be changed:

- its repository's page (https://bitfreedom.net/code/nomyo-ai/nomyo/raw/branch/main/doc/rate-limits.md) has two requests
  a second, and four in one second once per window of ten;
- its wiki (https://bitfreedom.net/code/nomyo-ai/nomyo/wiki/Rate-Limits) has one, and two in a second twice per window.

Both answer 429 to what goes beyond, and 503 with a cool-down of 30 minutes for the key to what does so repeatedly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final
from urllib.parse import urlsplit

from nomyo.exchange.settings import DEFAULT_BASE_URL
from nomyo.in_range import check_int, check_number

SECOND_NS: Final = 1_000_000_000
SLOWEST_PER_S: Final = 0.0001
MOST_PER_S: Final = 1000
MOST_BURSTS: Final = 100
LONGEST_WINDOW_S: Final = 3600.0
LONGEST_PAUSE_S: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one API key may do; the defaults are the public service's, without its bursts.

    Bursts are meant for spikes, says the service, so a batch takes none unless it is told to.

    Args:
        requests_per_s: The steady rate, from 0.0001 to 1,000; 0 for no limit. Requests are spaced evenly by it.
        burst_requests: How many requests one second may hold during a burst, from the steady rate, rounded up, to twice
            that: of more, a service that counts by seconds of its own could see two bursts; 0 for no bursts.
        bursts: How many such seconds one window may hold, up to 100.
        burst_window_s: The window's length, from 1 to 3,600 seconds.
        cool_down_s: How long a 503 without `Retry-After` pauses the key, up to a week.
        longest_pause_s: No pause is longer, whatever `Retry-After` says; up to a week.

    Raises:
        TypeError: A value is no number.
        ValueError: A value is out of range.
    """

    requests_per_s: float = 2.0
    burst_requests: int = 0
    bursts: int = 1
    burst_window_s: float = 10.0
    cool_down_s: float = 1800.0
    longest_pause_s: float = 86_400.0
    interval_ns: int = field(init=False, repr=False, default=0)
    """Nanoseconds between two steady requests, rounded up."""
    steady_requests: int = field(init=False, repr=False, default=0)
    """The most that one second holds without a burst."""
    window_ns: int = field(init=False, repr=False, default=0)

    @classmethod
    def of(cls, base_url: str) -> Limits:
        """Return the public service's rules for its own address, and for another no rate, and a minute for a 503."""
        if urlsplit(base_url).hostname == urlsplit(DEFAULT_BASE_URL).hostname:
            return cls()
        return cls(requests_per_s=0.0, cool_down_s=60.0)

    def __post_init__(self) -> None:
        """Check the values, and do once what is asked of them for every request."""
        check_number("requests_per_s", self.requests_per_s, SLOWEST_PER_S, MOST_PER_S, zero="no limit")
        check_number("burst_window_s", self.burst_window_s, 1.0, LONGEST_WINDOW_S)
        check_number("cool_down_s", self.cool_down_s, 0.0, LONGEST_PAUSE_S)
        check_number("longest_pause_s", self.longest_pause_s, 0.0, LONGEST_PAUSE_S)
        check_int("burst_requests", self.burst_requests, 0, MOST_PER_S)
        check_int("bursts", self.bursts, 1, MOST_BURSTS)
        steady = math.ceil(self.requests_per_s)
        if self.burst_requests and not steady:
            raise ValueError("burst_requests goes with a steady rate: requests_per_s is 0, which is no limit")
        if self.burst_requests and not steady <= self.burst_requests <= 2 * steady:
            raise ValueError(
                f"burst_requests must be 0, or lie between {steady} and {2 * steady}: once or twice the rate"
            )
        object.__setattr__(self, "steady_requests", steady)
        object.__setattr__(self, "window_ns", math.ceil(Fraction(self.burst_window_s) * SECOND_NS))
        if steady:
            object.__setattr__(self, "interval_ns", math.ceil(SECOND_NS / Fraction(self.requests_per_s)))

    @property
    def unlimited(self) -> bool:
        """Whether requests wait for pauses alone."""
        return not self.steady_requests

    @property
    def burst_extra(self) -> int:
        """How many requests a burst adds to what its second may hold without it."""
        return max(0, self.burst_requests - self.steady_requests)


def limits_at(base_url: str, limits: Limits | None, rate: float | None) -> Limits:
    """Return the rules to keep at a router.

    Args:
        base_url: The router's.
        limits: What was asked for in place of the rules there.
        rate: Requests a second, in place of those of the rules.

    Raises:
        TypeError, ValueError: The rate is out of range, or does not go with the bursts of the rules.
    """
    rules = limits or Limits.of(base_url)
    if rate is None:
        return rules
    check_number("rate", rate, SLOWEST_PER_S, MOST_PER_S, zero="no limit")
    return replace(rules, requests_per_s=rate)
