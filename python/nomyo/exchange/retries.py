"""Whether, and how long, to wait before the next attempt.

There are `max_retries` extra attempts, after 1 s, 2 s, 4 s, ... A `Retry-After` header (RFC 9110, section 10.2.3:
seconds or a date) lengthens the wait; if it asks for more than a minute, there is no further attempt. A date comes from
the server's clock, and the clock of this machine may be wrong: what counts is its distance from the answer's own
`Date`. `retry-after-ms`, which OpenAI and Azure send beside it, is the same wait in milliseconds, and more exact.
"""

from __future__ import annotations

import math
import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
_LASTING_FAILURES = frozenset({501, 511})  # Not Implemented, Network Authentication Required
_PASSING_REFUSALS = frozenset({408, 425, 429})  # Request Timeout, Too Early, Too Many Requests
LONGEST_RETRY_AFTER_S = 60.0
CLOCKS_AGREE_S = 10.0
"""How far two clocks may differ and still count as the same. Servers renew a `Date` once a second, and an answer takes
time to arrive: a small difference is no error of a clock."""
_SECONDS = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")  # the RFC has whole seconds; some servers send fractions


def delay_before(attempt: int, retry_after: str | None = None) -> float | None:
    """Return the seconds to wait before extra attempt `attempt` (the first is 1), or None to give up."""
    backoff_s = 2.0 ** (attempt - 1)
    asked_s = parse_retry_after(retry_after)
    if asked_s is None:
        return backoff_s
    if asked_s > LONGEST_RETRY_AFTER_S:
        return None
    return max(backoff_s, asked_s)


def may_pass(status: int | None) -> bool:
    """Return whether a status comes from a router, or a gateway before it, that is in trouble for a while.

    Gateways have statuses of their own between 500 and 599 (Cloudflare's 520 to 527). More may pass than is retried: a
    batch waits longer than a request does.
    """
    if status is None:
        return False
    return status in _PASSING_REFUSALS or (500 <= status < 600 and status not in _LASTING_FAILURES)


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for; None if there is none, or it cannot be read."""
    if value is None:
        return None
    value = value.strip()
    if not _SECONDS.fullmatch(value):
        return _seconds_until(value)
    return float(value)


def in_seconds(retry_after: str | None, date: str | None, milliseconds: str | None = None) -> str | None:
    """Return the seconds that an answer asks to wait for; None if it says neither a number nor a date.

    Args:
        retry_after: The value of its Retry-After header.
        date: Its `Date` header; if there is none, this machine's clock counts.
        milliseconds: The value of its `retry-after-ms` header, which counts first.
    """
    milliseconds = (milliseconds or "").strip()
    if _SECONDS.fullmatch(milliseconds):
        return f"{float(milliseconds) / 1000:.3f}"
    retry_after = (retry_after or "").strip()
    if _SECONDS.fullmatch(retry_after):
        return retry_after
    moment_s = _moment(retry_after)
    return None if moment_s is None else str(max(0, math.ceil(moment_s - now_s(date))))


def now_s(date: str | None) -> float:
    """Return the seconds since 1970, by the server's clock; by this machine's, which is exact, if the two agree.

    Args:
        date: The `Date` header of the server's answer.
    """
    here_s = time.time()
    there_s = None if date is None else _moment(date)
    return here_s if there_s is None or abs(there_s - here_s) <= CLOCKS_AGREE_S else there_s


def _seconds_until(date: str) -> float | None:
    moment_s = _moment(date)
    return None if moment_s is None else max(0.0, moment_s - time.time())


def _moment(date: str) -> float | None:
    """Return an HTTP date as seconds since 1970; None if it is no date."""
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:  # HTTP dates are in GMT, even if they do not say so
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()
    except (ValueError, OverflowError):
        return None
