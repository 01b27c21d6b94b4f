"""When the next request may go, by the steady rate and the bursts; no I/O, and no clock of its own.

Times are nanoseconds of a clock that never goes back. The requests that it lets go keep these rules,
whenever it is asked, and `tests/batch/test_pace.py` proves them over every window of every schedule:

- without bursts, two requests are at least `1 / requests_per_s` apart, so a window of T seconds holds at most
  `ceil(requests_per_s * T)`;
- no second holds more than `burst_requests`;
- however time is cut into seconds, no window of `burst_window_s` holds more than `bursts` seconds with more than the
  steady rate. So it does not matter whether the service counts by fixed or by sliding seconds and windows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .limits import MAX_BURSTS, SECOND_NS, Limits


@dataclass(slots=True)
class Burst:
    """A second in which requests go faster than the steady rate."""

    began_ns: int
    spent: int = 0
    """How many of its requests went beyond the steady rate."""


@dataclass(slots=True)
class Pace:
    """What is remembered of requests that were sent."""

    last_ns: int | None = None
    recent_ns: list[int] = field(default_factory=list)
    """The requests of the last second, oldest first."""
    bursts: list[Burst] = field(default_factory=list)
    over_ns: int | None = None
    """The last request that went beyond the steady rate."""

    @classmethod
    def used_up(cls, limits: Limits, now_ns: int) -> Pace:
        """Return an exhausted pace: as if all that the limits allow had been sent just now."""
        most = max(1, limits.steady_requests, limits.burst_requests)  # 1: another process may have a limit
        bursts = [Burst(now_ns, limits.burst_extra) for _ in range(limits.bursts)]
        return cls(now_ns, [now_ns] * most, bursts)

    def copy(self) -> Pace:
        """Return a copy, on which future requests can be tried."""
        return Pace(
            self.last_ns, list(self.recent_ns), [Burst(each.began_ns, each.spent) for each in self.bursts], self.over_ns
        )

    def joined(self, other: Pace) -> Pace:
        """Return the union of what both remember; what both have counts once."""
        last_ns = _later(self.last_ns, other.last_ns)
        since_ns = -1 if last_ns is None else last_ns - SECOND_NS
        recent_ns = [[each for each in pace.recent_ns if each > since_ns] for pace in (self, other)]
        spent = dict(_numbered_bursts(self.bursts))
        for key, more in _numbered_bursts(other.bursts):
            spent[key] = max(more, spent.get(key, 0))
        bursts = [Burst(began_ns, spent[began_ns, number]) for began_ns, number in sorted(spent)]
        return Pace(last_ns, _joined(*recent_ns), bursts[-MAX_BURSTS:], _later(self.over_ns, other.over_ns))

    def earliest_ns(self, limits: Limits, now_ns: int) -> int:
        """Return when the next request may go: `now_ns`, or later."""
        if limits.unlimited:
            return now_ns
        steady_ns = max(now_ns, self._spaced_ns(limits), self._calm_ns(limits))
        if steady_ns == now_ns or not limits.burst_extra:
            return steady_ns
        return min(steady_ns, self._burst_ns(limits, now_ns))

    def record(self, limits: Limits, now_ns: int) -> None:
        """Record a request that is sent now, which `earliest_ns` allowed."""
        if limits.unlimited:
            return
        over = now_ns < self._calm_ns(limits)
        if over or now_ns < self._spaced_ns(limits):
            burst = self._open_burst(now_ns)
            if burst is None:
                burst = Burst(now_ns)
                self.bursts = [*self.bursts, burst][-MAX_BURSTS:]
            burst.spent += over
            self.over_ns = now_ns if over else self.over_ns
        self.last_ns = now_ns
        self.recent_ns = [each for each in self.recent_ns if each > now_ns - SECOND_NS]
        self.recent_ns.append(now_ns)

    def _spaced_ns(self, limits: Limits) -> int:
        return 0 if self.last_ns is None else self.last_ns + limits.interval_ns

    def _less_than_ns(self, count: int) -> int:
        """Return the first moment at which fewer than `count` requests lie within the last second."""
        return self.recent_ns[-count] + SECOND_NS if len(self.recent_ns) >= count else 0

    def _calm_ns(self, limits: Limits) -> int:
        """Return the first moment at which a request is not part of a burst.

        Each burst ends with a quiet second. Otherwise, if the service cuts time into seconds in the middle of the
        burst, steady requests beside those of the burst could put too many into two of its seconds.
        """
        quiet_ns = 0 if self.over_ns is None else self.over_ns + SECOND_NS
        return max(quiet_ns, self._less_than_ns(limits.steady_requests))

    def _open_burst(self, now_ns: int) -> Burst | None:
        if self.bursts and now_ns < self.bursts[-1].began_ns + SECOND_NS:
            return self.bursts[-1]
        return None

    def _burst_ns(self, limits: Limits, now_ns: int) -> int:
        """Return when a burst, the open one or a new one, has room for a request."""
        room_ns = max(now_ns, self._less_than_ns(limits.burst_requests))
        burst = self._open_burst(room_ns)
        if burst is not None:
            over = room_ns < self._calm_ns(limits)
            if not over or burst.spent < limits.burst_extra:
                return room_ns
            room_ns = burst.began_ns + SECOND_NS
        if self.over_ns is not None:
            room_ns = max(room_ns, self.over_ns + SECOND_NS)
        if len(self.bursts) < limits.bursts:
            return room_ns
        # A burst lasts a second, and its end must lie a window before the next burst that would be one too many.
        return max(room_ns, self.bursts[-limits.bursts].began_ns + SECOND_NS + limits.window_ns)


def _later(one_ns: int | None, other_ns: int | None) -> int | None:
    return max((each for each in (one_ns, other_ns) if each is not None), default=None)


def _joined(moments_ns: list[int], others_ns: list[int]) -> list[int]:
    # Nearly always `others_ns` is the beginning of `moments_ns`; at 1,000 requests a second this saves a millisecond.
    if moments_ns[: len(others_ns)] == others_ns:
        return moments_ns
    return [each for each, _ in sorted({*_numbered(moments_ns), *_numbered(others_ns)})]


def _numbered(moments_ns: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Number equal moments, so that they stay apart: `used_up` makes several."""
    seen = Counter[int]()
    for each in moments_ns:
        yield each, seen[each]
        seen[each] += 1


def _numbered_bursts(bursts: list[Burst]) -> Iterator[tuple[tuple[int, int], int]]:
    return zip(_numbered(each.began_ns for each in bursts), (each.spent for each in bursts), strict=True)
