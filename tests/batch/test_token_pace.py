"""No schedule exceeds the rate of tokens over any window of it: on a clock of the test's own, in nanoseconds."""

from __future__ import annotations

import asyncio
import math
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomyo.batch.governor import Governor
from nomyo.batch.governor.ledger import Ledger
from nomyo.batch.governor.limits import SECOND_NS, Limits, limits_at
from nomyo.batch.governor.shared_file import SharedFile
from nomyo.batch.governor.token_pace import LONGEST_DEBT_NS, Charge, TokenPace
from support.virtual_time import VirtualClock

WINDOW_NS = 60 * SECOND_NS
NOW_NS = 5000 * SECOND_NS
RATE = 600
AT_600 = Limits(requests_per_s=0, tokens_per_min=RATE)
REQUESTS = st.lists(
    st.tuples(st.integers(0, 30 * SECOND_NS) | st.just(0), st.integers(1, 1000), st.integers(0, SECOND_NS)), max_size=40
)


def most_tokens_in_a_minute(went: list[tuple[int, int]]) -> int:
    """Return the most tokens of any window of 60 s; one that begins at a request holds as many as any other."""
    return max((sum(n for at, n in went if begin <= at < begin + WINDOW_NS) for begin, _ in went), default=0)


def schedule(limits: Limits, requests: list[tuple[int, int, int]], pace: TokenPace) -> list[tuple[int, int]]:
    """Return when requests go that are asked for at such distances, and what each is charged with."""
    now_ns, went = NOW_NS, []
    for idle_ns, tokens, late_ns in requests:
        now_ns += idle_ns
        while (due_ns := pace.earliest_ns(limits, tokens, now_ns)) > now_ns:
            now_ns = due_ns + late_ns
        went.append((now_ns, pace.record(limits, tokens, now_ns).tokens))
    return went


@settings(deadline=None)
@given(st.integers(1, 5000), REQUESTS)
def test_no_window_of_a_minute_holds_more_than_the_rate(rate: int, requests: list[tuple[int, int, int]]) -> None:
    limits = Limits(requests_per_s=0, tokens_per_min=rate)
    assert most_tokens_in_a_minute(schedule(limits, requests, TokenPace())) <= rate


@settings(deadline=None)
@given(st.integers(1, 5000), REQUESTS)
def test_after_used_up_nothing_goes_that_could_be_too_much(rate: int, requests: list[tuple[int, int, int]]) -> None:
    limits = Limits(requests_per_s=0, tokens_per_min=rate)
    went = schedule(limits, requests, TokenPace().used_up(limits, NOW_NS))
    assert most_tokens_in_a_minute([(NOW_NS, rate), *went]) <= rate


def test_requests_are_spread_and_the_rate_is_used() -> None:
    went = schedule(AT_600, [(0, 30, 0)] * 100, TokenPace())
    assert all(after - before >= 3 * SECOND_NS for (before, _), (after, _) in pairwise(went))
    assert went[-1][0] - went[0][0] <= 99 * 3 * SECOND_NS * 61 / 60 + SECOND_NS


def test_request_of_more_than_a_minute_goes_alone_and_counts_as_a_minute() -> None:
    pace = TokenPace()
    assert schedule(AT_600, [(0, 10, 0), (0, 5000, 0)], pace) == [(NOW_NS, 10), (NOW_NS + 61 * SECOND_NS, RATE)]
    assert pace.earliest_ns(AT_600, 1, NOW_NS + 62 * SECOND_NS) == NOW_NS + 122 * SECOND_NS


@pytest.mark.parametrize(("used", "next_s"), [(0, 0), (30, 3), (60, 6), (120, 12), (600, 61)])
def test_answer_corrects_the_charge(used: int, next_s: int) -> None:
    pace = TokenPace()
    charge = pace.record(AT_600, 60, NOW_NS)
    pace.settle(AT_600, charge, used, NOW_NS)
    assert pace.earliest_ns(AT_600, 60, NOW_NS) == NOW_NS + next_s * SECOND_NS


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 300), st.integers(0, 300), st.integers(0, 20 * SECOND_NS)), max_size=40))
def test_corrections_never_make_room_that_was_used(answers: list[tuple[int, int, int]]) -> None:
    """What is really taken, by the second of its start, is within the rate if no answer takes more than expected."""
    pace, now_ns, went = TokenPace(), NOW_NS, []
    for expected, used, idle_ns in answers:
        now_ns = pace.earliest_ns(AT_600, expected, now_ns)
        charge = pace.record(AT_600, expected, now_ns)
        went.append((now_ns, min(used, expected)))
        now_ns += idle_ns
        pace.settle(AT_600, charge, min(used, expected), now_ns)
    assert most_tokens_in_a_minute(went) <= RATE


def test_claim_of_any_usage_delays_an_hour_at_most() -> None:
    pace = TokenPace()
    pace.settle(AT_600, pace.record(AT_600, 1, NOW_NS), 2**53, NOW_NS)
    assert pace.earliest_ns(AT_600, 1, NOW_NS) == NOW_NS + LONGEST_DEBT_NS


@pytest.mark.slow("minutes of a fake clock, in looks every quarter of a second")
@settings(max_examples=6, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 400), st.integers(0, 40)), min_size=1, max_size=8))
def test_four_processes_together_keep_the_rate_over_any_window(requests: list[tuple[int, int, int]]) -> None:
    clock, went = VirtualClock(), []

    async def one(governor: Governor, tokens: int, begin_s: int) -> None:
        await clock.sleep(begin_s * SECOND_NS)
        charge = await governor.acquire_tokens(tokens)
        went.append((charge.at_ns, charge.tokens))

    async def main() -> None:
        with TemporaryDirectory() as directory:
            governors = [Governor(AT_600, SharedFile(Path(directory) / "b", "a"), clock) for _ in range(4)]
            await asyncio.gather(*(one(governors[number], *rest) for number, *rest in requests))

    clock.run(main())
    assert len(went) == len(requests)
    assert most_tokens_in_a_minute(went) <= RATE


def test_answers_of_one_process_make_room_for_another(tmp_path: Path) -> None:
    clock = VirtualClock()
    one, other = (Governor(AT_600, SharedFile(tmp_path / "b", "a"), clock) for _ in range(2))

    async def main() -> None:
        charge = await one.acquire_tokens(600)
        waiting = asyncio.create_task(other.acquire_tokens(600))
        await clock.sleep(SECOND_NS)
        one.used(charge, 0)
        await waiting

    clock.run(main())
    assert clock.seconds < 2


def test_books_that_were_lost_count_as_a_used_minute(tmp_path: Path) -> None:
    clock = VirtualClock()
    governor = Governor(AT_600, SharedFile(tmp_path / "b", "a"), clock)

    async def main() -> None:
        await governor.acquire_tokens(1)
        (tmp_path / "b" / "a.json").unlink()
        await governor.acquire_tokens(1)

    clock.run(main())
    assert clock.seconds >= 60


def test_books_keep_tokens() -> None:
    ledger = Ledger("boot")
    assert ledger.ask(AT_600, "a", NOW_NS, 600) == 0
    assert ledger.ask(AT_600, "b", NOW_NS, 7) > 0
    read = Ledger.parse(ledger.dump(), "boot", AT_600, NOW_NS)
    assert (read.tokens, read.line) == (ledger.tokens, ledger.line)


def test_without_a_rate_of_tokens_nothing_is_charged(tmp_path: Path) -> None:
    async def main() -> Charge:
        governor = Governor(Limits(requests_per_s=0), SharedFile(tmp_path / "b", "a"))
        await governor.acquire_tokens(10**9)
        return await governor.acquire_tokens(10**9)

    assert asyncio.run(main()).tokens == 0


@pytest.mark.parametrize("wrong", [0, -1, 10**10, 1.5, math.nan, True, "9"])
def test_rates_that_make_no_sense_are_refused(wrong: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="tokens_per_min"):
        Limits(tokens_per_min=wrong)
    with pytest.raises((TypeError, ValueError), match="token_rate"):
        limits_at("http://localhost", None, None, wrong)
