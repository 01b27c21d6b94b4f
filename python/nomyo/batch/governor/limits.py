"""The service's rules: how many requests an API key may send, and how long it has to wait after a refusal.

The public service states its rules at two places that disagree, so they are only defaults that can be changed:

- its repository's page (https://bitfreedom.net/code/nomyo-ai/nomyo/raw/branch/main/doc/rate-limits.md) allows two
  requests a second, and four in one second of each window of ten seconds;
- its wiki (https://bitfreedom.net/code/nomyo-ai/nomyo/wiki/Rate-Limits) allows one request a second, and twice per
  window two requests in one second.

According to both, further requests get 429, and a key that keeps sending too many gets 503 and a cool-down of 30
minutes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final
from urllib.parse import urlsplit

from nomyo._checks import check_int, check_number
from nomyo.exchange.settings import DEFAULT_BASE_URL

SECOND_NS: Final = 1_000_000_000
MIN_PER_S: Final = 0.0001
MAX_PER_S: Final = 1000
MAX_TOKENS_PER_MIN: Final = 10**9
MAX_BURSTS: Final = 100
MAX_WINDOW_S: Final = 3600.0
MAX_PAUSE_S: Final = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The rate limits of one API key. The defaults are the public service's, without its bursts.

    The service means bursts for spikes, so a batch uses none unless `burst_requests` asks for them.

    Args:
        requests_per_s: The steady rate, from 0.0001 to 1,000; 0 for no limit. Requests are spaced evenly.
        burst_requests: How many requests one second may hold during a burst; 0 for no bursts. At least the steady rate,
            rounded up, and at most twice that: with more, a service that counts by its own seconds could see two
            bursts.
        bursts: How many such seconds one window may hold, up to 100.
        burst_window_s: The window's length, from 1 to 3,600 seconds.
        cool_down_s: How long a 503 without `Retry-After` pauses the key, up to a week.
        longest_pause_s: The longest pause, whatever `Retry-After` says; up to a week.
        tokens_per_min: Tokens a minute, of prompts and answers together, up to 10**9; None for no limit. A governor
            keeps it for requests that say how many tokens they are expected to take (`Governor.acquire_tokens`).

    Raises:
        TypeError: A value is not a number.
        ValueError: A value is out of range.
    """

    requests_per_s: float = 2.0
    burst_requests: int = 0
    bursts: int = 1
    burst_window_s: float = 10.0
    cool_down_s: float = 1800.0
    longest_pause_s: float = 86_400.0
    tokens_per_min: int | None = None
    interval_ns: int = field(init=False, repr=False, default=0)
    """Nanoseconds between two steady requests, rounded up."""
    steady_requests: int = field(init=False, repr=False, default=0)
    """The largest number of requests in one second without a burst."""
    window_ns: int = field(init=False, repr=False, default=0)

    @classmethod
    def of(cls, base_url: str) -> Limits:
        """Return the rules for an address: the public service's own, or elsewhere no rate and a minute after a 503."""
        if urlsplit(base_url).hostname == urlsplit(DEFAULT_BASE_URL).hostname:
            return cls()
        return cls(requests_per_s=0.0, cool_down_s=60.0)

    def __post_init__(self) -> None:
        """Check the values, and compute what every request needs of them."""
        check_number("requests_per_s", self.requests_per_s, MIN_PER_S, MAX_PER_S, zero="no limit")
        check_number("burst_window_s", self.burst_window_s, 1.0, MAX_WINDOW_S)
        check_number("cool_down_s", self.cool_down_s, 0.0, MAX_PAUSE_S)
        check_number("longest_pause_s", self.longest_pause_s, 0.0, MAX_PAUSE_S)
        check_int("burst_requests", self.burst_requests, 0, MAX_PER_S)
        check_int("bursts", self.bursts, 1, MAX_BURSTS)
        if self.tokens_per_min is not None:
            check_int("tokens_per_min", self.tokens_per_min, 1, MAX_TOKENS_PER_MIN)
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
        """Whether there is no rate of requests, so that requests wait only for pauses, and for a rate of tokens."""
        return not self.steady_requests

    @property
    def in_line(self) -> bool:
        """Whether processes take turns, because there is a rate."""
        return not self.unlimited or self.tokens_per_min is not None

    @property
    def burst_extra(self) -> int:
        """How many requests a burst allows in its second beyond the steady rate."""
        return max(0, self.burst_requests - self.steady_requests)


def limits_at(base_url: str, limits: Limits | None, rate: float | None, token_rate: int | None = None) -> Limits:
    """Return the rules to keep at a router.

    Args:
        base_url: The router's address.
        limits: The caller's rules; None for the defaults at this address.
        rate: Requests a second, in place of the rate of the rules; None keeps that.
        token_rate: Tokens a minute, in place of those of the rules; None keeps them.

    Raises:
        TypeError, ValueError: A rate is not a number, is out of range, or does not fit the bursts of the rules.
    """
    rules = limits or Limits.of(base_url)
    if token_rate is not None:
        check_int("token_rate", token_rate, 1, MAX_TOKENS_PER_MIN)
        rules = replace(rules, tokens_per_min=token_rate)
    if rate is None:
        return rules
    check_number("rate", rate, MIN_PER_S, MAX_PER_S, zero="no limit")
    return replace(rules, requests_per_s=rate)
