"""Whether, and how long, to wait before the next attempt.

`max_retries` extra attempts, after 1 s, 2 s, 4 s, ...; a `Retry-After` header (RFC 9110,
section 10.2.3: seconds or a date) lengthens the wait, and one of more than a minute ends the
attempts at once.
"""

from __future__ import annotations

import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

RETRIED_STATUSES = frozenset({429, 500, 502, 503, 504})
LONGEST_RETRY_AFTER_S = 60.0
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


def parse_retry_after(value: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for; None where there is none that can be read."""
    if value is None:
        return None
    value = value.strip()
    if not _SECONDS.fullmatch(value):
        return _seconds_until(value)
    return float(value)


def _seconds_until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
        if moment.tzinfo is None:  # HTTP dates are GMT, whatever the form leaves out
            moment = moment.replace(tzinfo=UTC)
        return max(0.0, moment.timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
