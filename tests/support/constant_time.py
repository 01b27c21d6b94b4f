"""Measures whether the time in which a server judges a token tells how much of it was right.

    python constant_time.py [MEASUREMENTS]

The method is that of rust/core/examples/constant_time.rs: two kinds of wrong tokens in random order, Welch's t over the
times, and again without the slowest. The control compares until a difference, and must be caught.
"""

from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence

from nomyo.serve.bearer import BearerTokens

MOST_T = 10.0
KEPT = (0.5, 0.75, 0.9, 0.99, 1.0)
TOKEN = "".join(random.SystemRandom().choice("abcdefgh") for _ in range(512))
# The first character is wrong, or the last one.
WRONG = (f"X{TOKEN[1:]}", f"{TOKEN[:-1]}X")


def main(measurements: int) -> int:
    """Print |t| for the servers' check, and for a control; 1 if the first is too large, or the second too small."""
    tokens = BearerTokens([TOKEN])
    judged = _largest_t(measurements, lambda token: tokens.admit(f"Bearer {token}"))
    control = _largest_t(measurements, lambda token: all(one == other for one, other in zip(token, TOKEN, strict=True)))
    print(f"{'token: wrong in its first character, or in its last':68} |t| = {judged:.1f}")
    print(f"{'control, which leaks: character by character until a difference':68} |t| = {control:.1f}")
    return int(judged >= MOST_T or control < MOST_T)


def _largest_t(measurements: int, judge: Callable[[str], bool]) -> float:
    times: tuple[list[int], list[int]] = ([], [])
    for kind in random.choices((0, 1), k=measurements):
        token = WRONG[kind]
        begin = time.perf_counter_ns()
        judge(token)
        times[kind].append(time.perf_counter_ns() - begin)
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
