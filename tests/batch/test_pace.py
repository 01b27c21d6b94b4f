"""No schedule exceeds the rates, over any window of it: the pace on a clock of the test's own, in nanoseconds."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomyo.batch.governor.limits import SECOND_NS, Limits
from nomyo.batch.governor.pace import Pace
from nomyo.serve.router.config import RateLimit
from nomyo.serve.router.limits import RateLimiter
from support.windows import check_every_window, least_distance_ns, most_in_a_window

# How long nobody asks: mostly less than a second, at times much more.
IDLE_NS = st.one_of(
    st.just(0),
    st.integers(0, SECOND_NS),
    st.integers(0, 20 * SECOND_NS),
    st.sampled_from([SECOND_NS // 2, SECOND_NS - 1, SECOND_NS, SECOND_NS + 1, 10 * SECOND_NS]),
)
# Whether the one who asks waits until its time, and how much later than that it comes back.
REQUESTS = st.lists(st.tuples(IDLE_NS, st.integers(0, SECOND_NS // 3) | st.just(0)), max_size=80)
STEADY = st.builds(Limits, requests_per_s=st.floats(0.05, 50) | st.integers(1, 20))


@st.composite
def _bursting(draw: st.DrawFn) -> Limits:
    steady = draw(st.integers(1, 5))
    return Limits(
        requests_per_s=steady,
        burst_requests=draw(st.integers(steady, 2 * steady)),
        bursts=draw(st.integers(1, 3)),
        burst_window_s=draw(st.integers(1, 15)),
    )


def _schedule(limits: Limits, requests: list[tuple[int, int]], pace: Pace | None = None) -> list[int]:
    """Return when requests go that are asked for at such distances, each after the one before it."""
    pace = Pace() if pace is None else pace
    now_ns, went = 1000 * SECOND_NS, []
    for idle_ns, late_ns in requests:
        now_ns += idle_ns
        while (due_ns := pace.earliest_ns(limits, now_ns)) > now_ns:
            now_ns = due_ns + late_ns
        pace.record(limits, now_ns)
        went.append(now_ns)
    return went


@settings(deadline=None)
@given(STEADY, REQUESTS, st.integers(1, 30 * SECOND_NS))
def test_any_window_of_t_seconds_holds_at_most_the_rate_times_t(
    limits: Limits, requests: list[tuple[int, int]], window_ns: int
) -> None:
    went = _schedule(limits, requests)
    most = math.ceil(window_ns / SECOND_NS * limits.requests_per_s * (1 + 1e-9))
    assert most_in_a_window(went, window_ns) <= most


@settings(deadline=None)
@given(STEADY, REQUESTS)
def test_requests_are_spaced(limits: Limits, requests: list[tuple[int, int]]) -> None:
    went = _schedule(limits, requests)
    assert least_distance_ns(went) >= SECOND_NS / limits.requests_per_s * (1 - 1e-9)


@settings(deadline=None)
@given(_bursting(), REQUESTS)
def test_no_second_holds_more_than_a_burst(limits: Limits, requests: list[tuple[int, int]]) -> None:
    assert most_in_a_window(_schedule(limits, requests), SECOND_NS) <= limits.burst_requests


@settings(deadline=None)
@given(_bursting(), REQUESTS)
def test_no_window_holds_more_seconds_over_the_rate_than_bursts_however_time_is_cut(
    limits: Limits, requests: list[tuple[int, int]]
) -> None:
    check_every_window(_schedule(limits, requests), limits)


@settings(deadline=None)
@given(
    st.integers(1, 4).flatmap(
        lambda steady: st.tuples(st.just(steady), st.integers(steady, 2 * steady), st.integers(1, 15), REQUESTS)
    )
)
def test_router_that_keeps_such_limits_refuses_nothing(case: tuple[int, int, int, list[tuple[int, int]]]) -> None:
    steady, burst, window_s, requests = case
    now: Any = 0  # exact seconds: where they are rounded, two that are a second apart need not be
    router = RateLimiter(RateLimit(steady, burst, window_s), clock=lambda: now)
    limits = Limits(requests_per_s=steady, burst_requests=burst, burst_window_s=window_s)
    for each in _schedule(limits, requests):
        now = Fraction(each, SECOND_NS)
        assert router.wait_s(b"key") == 0


@settings(deadline=None)
@given(STEADY | _bursting(), st.integers(0, 200))
def test_after_used_up_nothing_goes_that_could_be_too_much(limits: Limits, requests: int) -> None:
    begin_ns = 1000 * SECOND_NS
    most = max(limits.burst_requests, limits.steady_requests)
    pace = Pace.used_up(limits, begin_ns)
    went = _schedule(limits, [(0, 0)] * min(requests, 40), pace)
    assert all(each >= begin_ns + min(SECOND_NS, limits.interval_ns) for each in went)
    assert most_in_a_window([begin_ns] * most + went, SECOND_NS) <= most


def test_burst_that_a_second_cuts_is_one_burst_on_both_sides() -> None:
    limits = Limits(requests_per_s=3, burst_requests=6)
    moments_ms = [0, 400, 400, 50, 550, 400, 10, 10]  # steady, steady, steady, burst | steady, steady, burst, burst
    check_every_window(_schedule(limits, [(idle_ms * SECOND_NS // 1000, 0) for idle_ms in moments_ms]), limits)


def test_steady_rate_is_used_fully() -> None:
    went = _schedule(Limits(requests_per_s=2), [(0, 0)] * 21)
    assert went[-1] - went[0] == 10 * SECOND_NS


def test_bursts_are_used_fully() -> None:
    went = _schedule(Limits(requests_per_s=2, burst_requests=4, burst_window_s=10), [(0, 0)] * 100)
    seconds = [(each - went[0]) // SECOND_NS for each in went]
    # From the second burst on, the second before has ended with requests that any cut of time counts along.
    assert [seconds.count(second) for second in range(34)] == [4, *[2] * 10, 3, *[2] * 10, 3, *[2] * 10, 3]


def test_quiet_time_is_not_saved_up() -> None:
    went = _schedule(Limits(requests_per_s=2), [(0, 0), (3600 * SECOND_NS, 0), (0, 0), (0, 0)])
    assert [each - went[1] for each in went[1:]] == [0, SECOND_NS // 2, SECOND_NS]


def test_no_limit_makes_nobody_wait() -> None:
    went = _schedule(Limits(requests_per_s=0), [(0, 0)] * 50)
    assert len(set(went)) == 1


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"requests_per_s": -1}, ValueError),
        ({"requests_per_s": math.nan}, ValueError),
        ({"requests_per_s": math.inf}, ValueError),
        ({"requests_per_s": 1001}, ValueError),
        ({"requests_per_s": "2"}, TypeError),
        ({"requests_per_s": True}, TypeError),
        ({"requests_per_s": 0, "burst_requests": 4}, ValueError),
        ({"requests_per_s": 2.5, "burst_requests": 2}, ValueError),
        ({"requests_per_s": 2, "burst_requests": 5}, ValueError),
        ({"burst_requests": 4.0}, TypeError),
        ({"burst_requests": -4}, ValueError),
        ({"bursts": 0}, ValueError),
        ({"bursts": 101}, ValueError),
        ({"burst_window_s": 0.5}, ValueError),
        ({"burst_window_s": 3601}, ValueError),
        ({"cool_down_s": -1}, ValueError),
        ({"longest_pause_s": 1e9}, ValueError),
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(reversed(wrong)) if len(wrong) == 1 else "burst_requests"):
        Limits(**wrong)
