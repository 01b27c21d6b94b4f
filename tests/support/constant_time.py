"""Measures whether the time in which a server judges a token tells how much of it was right.

    python constant_time.py [MEASUREMENTS]

The method is that of rust/core/examples/constant_time.rs: two kinds of wrong tokens in random order, Welch's t over the
times, and again without the slowest. The control compares until a difference, and must be caught.

Every token is a string of its own, made some time before it is judged. With one string for each kind, their addresses
would show: two equal strings at two addresses differ by |t| = 10 and more within 20,000 measurements. If a string were
made just before it is judged, so would the way in which it was made.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence

from nomyo.serve.bearer import BearerTokens

MOST_T = 10.0
KEPT = (0.5, 0.75, 0.9, 0.99, 1.0)
TOKEN = "".join(random.SystemRandom().choice("abcdefgh") for _ in range(512))
# What stands before and behind the rest of the token: the first character is wrong, or the last one.
ENDS = (("X", TOKEN[-1]), (TOKEN[0], "X"))
REST = TOKEN[1:-1]
# Some 150 KB.
MADE_AT_ONCE = 256


def main(measurements: int) -> int:
    """Print |t| for the servers' check, and for a control; 1 if the first is too large, or the second too small."""
    judged = _largest_t(measurements, BearerTokens([TOKEN]).admit)
    control = _largest_t(measurements, _equal_until_a_difference)
    print(f"{'token: wrong in its first character, or in its last':68} |t| = {judged:.1f}")
    print(f"{'control, which leaks: character by character until a difference':68} |t| = {control:.1f}")
    return int(judged >= MOST_T or control < MOST_T)


def authorizations(kinds: Iterable[int]) -> list[str]:
    """Return headers with wrong tokens of these kinds, each a string of its own."""
    return [f"Bearer {first}{REST}{last}" for first, last in map(ENDS.__getitem__, kinds)]


def _equal_until_a_difference(header: str) -> bool:
    return all(one == other for one, other in zip(header, f"Bearer {TOKEN}", strict=True))


def _largest_t(measurements: int, judge: Callable[[str], bool]) -> float:
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(0, measurements, MADE_AT_ONCE):
        kinds = random.choices((0, 1), k=MADE_AT_ONCE)
        for kind, header in zip(kinds, authorizations(kinds), strict=True):
            begin = time.perf_counter_ns()
            judge(header)
            took = time.perf_counter_ns() - begin
            times[kind].append(took)
    return largest_t(times)


def largest_t(times: tuple[list[int], list[int]]) -> float:
    """Return the largest |t| over the times of two kinds, all of them and without the slowest.

    If the fastest are all of one kind, there is nothing to compare among them: all of them together show it.
    """
    every = sorted(times[0] + times[1])
    bounds = [every[int(share * (len(every) - 1))] for share in KEPT]
    kept = [[[each for each in kind if each <= most] for kind in times] for most in bounds]
    return max(_welch(*kinds) for kinds in kept if min(map(len, kinds)) > 1)


def _welch(one: Sequence[int], other: Sequence[int]) -> float:
    """Return Welch's t, without its sign."""
    error = (statistics.variance(one) / len(one) + statistics.variance(other) / len(other)) ** 0.5
    return float(abs(statistics.fmean(one) - statistics.fmean(other)) / error)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000))
