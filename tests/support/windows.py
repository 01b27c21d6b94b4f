"""Judges when requests went, in nanoseconds, by every window of the schedule."""

from __future__ import annotations

from itertools import pairwise

from nomyo.batch.governor.limits import SECOND_NS, Limits


def most_in_a_window(went: list[int], window_ns: int) -> int:
    """Return the most requests of any window; one that begins at a request holds as many as any other."""
    return max((sum(begin <= each < begin + window_ns for each in went) for begin in went), default=0)


def least_distance_ns(went: list[int]) -> int:
    return min((after - before for before, after in pairwise(went)), default=10**18)


def check_every_window(went: list[int], limits: Limits) -> None:
    """Hold the schedule of a whole number of requests a second to its limits."""
    most = max(limits.steady_requests, limits.burst_requests)
    assert most_in_a_window(went, SECOND_NS) <= most
    if not limits.burst_extra:
        assert least_distance_ns(went) >= limits.interval_ns
    # However time is cut into seconds: each of the cuts that change a count.
    for offset_ns in {(each + nudge) % SECOND_NS for each in went for nudge in (0, 1)}:
        seconds = [(each - offset_ns) // SECOND_NS for each in went]
        over = sorted({each for each in seconds if seconds.count(each) > limits.steady_requests})
        assert most_in_a_window(over, int(limits.burst_window_s)) <= limits.bursts
