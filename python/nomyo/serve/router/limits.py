"""Limits how often a caller may send requests."""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from nomyo.serve.router.config import RateLimit

_SECOND: Final = 1.0
_MAX_CALLERS: Final = 4096


@dataclass(slots=True)
class _Caller:
    recent: deque[float] = field(default_factory=deque)
    burst_began_at: float | None = None


class RateLimiter:
    """Counts each caller's requests over the last second, with one burst per window.

    Refused requests do not count. It remembers the 4,096 callers seen last.

    Args:
        limit: The limit of each caller.
        clock: Returns monotonic seconds.
    """

    def __init__(self, limit: RateLimit, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._callers: OrderedDict[bytes, _Caller] = OrderedDict()

    def wait_s(self, caller: bytes) -> float:
        """Admit a request of `caller` and return 0.0; or return the seconds after which a request is admitted again."""
        now = self._clock()
        seen = self._remember(caller)
        while seen.recent and now - seen.recent[0] >= _SECOND:
            seen.recent.popleft()
        count = len(seen.recent)
        steady = self._limit.requests_per_second
        if count < steady or (count < self._limit.burst_requests and self._in_burst(seen, now)):
            seen.recent.append(now)
            return 0.0
        return seen.recent[count - steady] + _SECOND - now

    def _in_burst(self, seen: _Caller, now: float) -> bool:
        began_at = seen.burst_began_at
        if began_at is None or now - began_at >= self._limit.burst_window_s:
            seen.burst_began_at = now
            return True
        return now - began_at < _SECOND

    def _remember(self, caller: bytes) -> _Caller:
        seen = self._callers.setdefault(caller, _Caller())
        self._callers.move_to_end(caller)
        if len(self._callers) > _MAX_CALLERS:
            self._callers.popitem(last=False)
        return seen
