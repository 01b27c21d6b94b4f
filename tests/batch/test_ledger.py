"""What processes know together: the rates hold for all of them, each has its turn, and the dead block nobody."""

from __future__ import annotations

import heapq
import itertools
import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nomyo.batch.governor.ledger import RECHECK_NS, Ledger
from nomyo.batch.governor.limits import MAX_BURSTS, SECOND_NS, Limits
from nomyo.batch.governor.pace import Burst, Pace
from nomyo.batch.governor.pauses import Pause
from nomyo.errors import (
    APIConnectionError,
    APIError,
    InvalidRequestError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
)
from support.windows import check_every_window

NOW_NS = 5000 * SECOND_NS
STEADY = Limits(requests_per_s=2)
BURSTING = Limits(requests_per_s=2, burst_requests=4)


@dataclass
class Machine:
    """Processes that share a ledger, which goes through its bytes at each look, on a clock that only they move."""

    limits: Limits
    rng: random.Random
    late_ns: int
    text: bytes | None = None
    now_ns: int = NOW_NS
    went: list[tuple[int, int]] = field(default_factory=list)
    """When a request went, and whose it was."""
    seen: list[Ledger] = field(default_factory=list)
    """The ledger after each look."""

    def look(self, ticket: str) -> int:
        ledger = Ledger.parse(self.text, "boot", self.limits, self.now_ns)
        wait_ns = ledger.ask(self.limits, ticket, self.now_ns)
        self.text = ledger.dump()
        self.seen.append(ledger)
        return wait_ns

    def run(self, processes: int, until_ns: int, dies_at_ns: dict[int, int] | None = None) -> None:
        """Have each process send one request after the other, and look late by up to `late_ns`."""
        dies_at_ns = dies_at_ns or {}
        order = itertools.count()  # of those who look at the same moment
        looks = [(self.now_ns, next(order), number, 0) for number in range(processes)]
        while looks:
            self.now_ns, _, number, sent = heapq.heappop(looks)
            if self.now_ns >= min(until_ns, dies_at_ns.get(number, until_ns)):
                continue
            wait_ns = self.look(f"{number}-{sent}")
            if wait_ns == 0:
                self.went.append((self.now_ns, number))
                sent += 1
            look_ns = self.now_ns + wait_ns + self.rng.randint(0, self.late_ns)
            heapq.heappush(looks, (look_ns, next(order), number, sent))


@given(
    st.integers(1, 6),
    st.sampled_from([STEADY, BURSTING, Limits(requests_per_s=0.25), Limits(requests_per_s=20)]),
    st.sampled_from([0, SECOND_NS // 1000, SECOND_NS, 3 * SECOND_NS]),
    st.randoms(use_true_random=False),
    st.dictionaries(st.integers(0, 5), st.integers(0, 20)),
)
@settings(max_examples=60, deadline=None)
@pytest.mark.slow("sixty schedules of up to 20 processes")
def test_processes_together_keep_to_the_rates_over_any_window(
    processes: int, limits: Limits, late_ns: int, rng: random.Random, deaths: dict[int, int]
) -> None:
    machine = Machine(limits, rng, late_ns)
    machine.run(processes, NOW_NS + 20 * SECOND_NS, {who: NOW_NS + at * SECOND_NS for who, at in deaths.items()})
    check_every_window([moment for moment, _ in machine.went], limits)


@pytest.mark.parametrize("processes", [1, 4, 20])
def test_processes_lose_no_time_and_have_turns_in_order(processes: int) -> None:
    machine = Machine(STEADY, random.Random(1), late_ns=0)
    machine.run(processes, NOW_NS + 60 * SECOND_NS)
    assert len(machine.went) >= 118
    order = [number for _, number in machine.went]
    assert order == [number % processes for number in range(len(order))]


def test_processes_that_are_slow_to_look_all_have_their_turns() -> None:
    machine = Machine(STEADY, random.Random(2), late_ns=SECOND_NS)
    machine.run(4, NOW_NS + 200 * SECOND_NS)
    counts = [[number for _, number in machine.went].count(process) for process in range(4)]
    assert min(counts) > 0.6 * max(counts)


def test_process_that_dies_in_line_costs_the_others_one_turn_at_most() -> None:
    machine = Machine(STEADY, random.Random(3), late_ns=0)
    machine.run(4, NOW_NS + 20 * SECOND_NS, {0: NOW_NS + 5 * SECOND_NS, 1: NOW_NS + 5 * SECOND_NS})
    after = [moment for moment, _ in machine.went if moment >= NOW_NS + 5 * SECOND_NS]
    assert len(after) >= 30 - 2
    assert {number for moment, number in machine.went if moment >= NOW_NS + 6 * SECOND_NS} == {2, 3}


def test_process_that_was_slow_once_keeps_its_place() -> None:
    ledger = Ledger("boot")
    assert ledger.ask(STEADY, "first", NOW_NS) == 0
    for ticket in ("slow", "b", "c"):
        ledger.ask(STEADY, ticket, NOW_NS)
    now_ns = NOW_NS + SECOND_NS
    assert ledger.ask(STEADY, "b", now_ns) == 0
    assert ledger.ask(STEADY, "slow", now_ns) == SECOND_NS // 2
    now_ns += SECOND_NS // 2
    assert ledger.ask(STEADY, "c", now_ns) > 0
    assert ledger.ask(STEADY, "slow", now_ns) == 0


def test_dead_are_forgotten() -> None:
    machine = Machine(STEADY, random.Random(4), late_ns=0)
    machine.run(30, NOW_NS + SECOND_NS)
    assert len(json.loads(machine.text or b"")["line"]) == 30
    machine.now_ns += 120 * SECOND_NS
    assert machine.look("late") == 0
    assert json.loads(machine.text or b"")["line"] == []


def test_place_that_was_left_is_free_at_once() -> None:
    ledger = Ledger("boot")
    assert ledger.ask(STEADY, "a", NOW_NS) == 0
    assert ledger.ask(STEADY, "b", NOW_NS) == SECOND_NS // 2
    assert ledger.ask(STEADY, "c", NOW_NS) == SECOND_NS
    ledger.leave("b")
    assert ledger.ask(STEADY, "c", NOW_NS) == SECOND_NS // 2


def test_nobody_without_a_limit_stands_in_line() -> None:
    ledger = Ledger("boot")
    for ticket in "abc":
        ledger.ask(STEADY, ticket, NOW_NS)
    assert ledger.ask(Limits(requests_per_s=0), "d", NOW_NS) == 0


# Pauses


def _paused_s(*errors: BaseException, limits: Limits = STEADY) -> float:
    ledger = Ledger("boot")
    for error in errors:
        ledger.pause.note(limits, error, NOW_NS)
    return max(0, ledger.pause.until_ns - NOW_NS) / SECOND_NS


@pytest.mark.parametrize(
    ("error", "pause_s"),
    [
        (ServiceUnavailableError("no"), 1800),
        (ServiceUnavailableError("no", retry_after="90"), 90),
        (ServiceUnavailableError("no", retry_after="0"), 1),
        (ServiceUnavailableError("no", retry_after="soon"), 1800),
        (RateLimitError("no"), 1),
        (RateLimitError("no", retry_after="7"), 7),
        (RateLimitError("no", retry_after="0.25"), 1),
        (RateLimitError("no", retry_after="99999999999"), 86_400),
        (ServerError("no", retry_after="20"), 20),
        (APIError("no", 502, retry_after="20"), 20),
        (ServerError("no"), 0),
        (InvalidRequestError("no"), 0),
        (APIConnectionError("no"), 0),
        (ValueError("no"), 0),
    ],
)
def test_errors_pause_for_what_they_ask_for(error: BaseException, pause_s: float) -> None:
    assert _paused_s(error) == pause_s


def test_pauses_are_configurable() -> None:
    limits = Limits(cool_down_s=5, longest_pause_s=60)
    assert _paused_s(ServiceUnavailableError("no"), limits=limits) == 5
    assert _paused_s(RateLimitError("no", retry_after="600"), limits=limits) == 60


def test_pause_is_never_shortened() -> None:
    assert _paused_s(ServiceUnavailableError("no"), RateLimitError("no", retry_after="3")) == 1800


def test_refusals_in_a_row_pause_for_longer_each_time_and_those_at_once_count_once() -> None:
    ledger, now_ns, pauses = Ledger("boot"), NOW_NS, []
    for _ in range(9):
        for _ in range(5):  # all were sent before the first of them was refused
            ledger.pause.note(STEADY, RateLimitError("no"), now_ns)
        pauses.append((ledger.pause.until_ns - now_ns) / SECOND_NS)
        now_ns = ledger.pause.until_ns + SECOND_NS
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    ledger.pause.note(STEADY, RateLimitError("no"), now_ns + 90 * SECOND_NS)
    assert ledger.pause.until_ns == now_ns + 91 * SECOND_NS


@pytest.mark.parametrize("limits", [STEADY, BURSTING, Limits(requests_per_s=0)])
def test_nothing_goes_during_a_pause_and_not_everything_at_its_end(limits: Limits) -> None:
    machine = Machine(limits, random.Random(5), late_ns=0)
    ledger = Ledger("boot")
    ledger.pause.note(limits, ServiceUnavailableError("no"), NOW_NS)
    machine.text = ledger.dump()
    waited_ns = machine.look("a")
    assert waited_ns == RECHECK_NS  # with a look at times
    machine.now_ns = NOW_NS + 1800 * SECOND_NS - 1
    assert machine.look("a") == 1
    machine.now_ns += 1
    assert machine.look("a") == 0
    if not limits.burst_requests:
        assert machine.look("b") == limits.interval_ns


# Damage, reboots and clocks


def _busy_text() -> bytes:
    machine = Machine(BURSTING, random.Random(6), late_ns=0)
    machine.run(3, NOW_NS + 3 * SECOND_NS)
    ledger = Ledger.parse(machine.text, "boot", BURSTING, machine.now_ns)
    ledger.pause.note(BURSTING, RateLimitError("no"), machine.now_ns)
    return ledger.dump()


LATER_NS = NOW_NS + 60 * SECOND_NS


def test_ledger_comes_back_as_it_was_written() -> None:
    text = _busy_text()
    ledger = Ledger.parse(text, "boot", BURSTING, LATER_NS)
    assert ledger.dump() == text
    assert ledger.pace.recent_ns
    assert ledger.pace.bursts
    assert ledger.line
    assert ledger.pause.strikes


def _changed(**parts: Any) -> bytes:
    return json.dumps({**json.loads(_busy_text()), **parts}).encode()


DAMAGED = {
    "empty": b"",
    "zeros": bytes(200),
    "no object": b"[]",
    "nested": b"[" * 100_000,
    "cut": _busy_text()[:-30],
    "another boot": _changed(boot="another"),
    "time to come": _changed(last_ns=LATER_NS + 1, recent_ns=[LATER_NS + 1]),
    "endless pause": _changed(paused_until_ns=LATER_NS + 8 * 86_400 * SECOND_NS),
    "negative": _changed(last_ns=-1, recent_ns=[]),
    "text": _changed(last_ns="now", recent_ns=[]),
    "truth": _changed(bursts=[[True, 1]]),
    "huge": _changed(strikes=10**9),
    "bursts out of order": _changed(bursts=[[5, 1], [4, 1]]),
    "requests out of order": _changed(last_ns=4, recent_ns=[5, 4]),
    "last is not the last": _changed(last_ns=9, recent_ns=[4]),
    "line of nothing": _changed(line=[[1, 2, 0]]),
    "endless line": _changed(line=[["a", LATER_NS + 3600 * SECOND_NS, 0]]),
    "tokens of a place": _changed(line=[["a", LATER_NS, -1]]),
    "no tokens": _changed(tokens=None),
    "endless debt": _changed(tokens=[LATER_NS + 3601 * SECOND_NS, [], 0]),
    "tokens to come": _changed(tokens=[0, [[LATER_NS // SECOND_NS + 1, 1]], 1]),
    "tokens out of order": _changed(tokens=[0, [[5, 1], [4, 1]], 1]),
    "tokens below 0": _changed(tokens=[0, [[5, -1]], 1]),
    "no advice": _changed(advice=None),
    "advice to come": _changed(advice={"requests": [LATER_NS + 1, 1, 0, None, 0]}),
    "endless advice": _changed(advice={"tokens": [0, 1, 0, 0, LATER_NS + 3601 * SECOND_NS]}),
    "advice in words": _changed(advice={"tokens": [0, "few", 0, 0, 0]}),
    "too long": _busy_text() + b" " * (1 << 20),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_cannot_be_read_counts_as_all_used_up(name: str) -> None:
    ledger = Ledger.parse(DAMAGED[name], "boot", BURSTING, LATER_NS)
    assert ledger.ask(BURSTING, "a", LATER_NS) == SECOND_NS
    again = Ledger.parse(ledger.dump(), "boot", BURSTING, LATER_NS + SECOND_NS)
    assert again.ask(BURSTING, "a", LATER_NS + SECOND_NS) == 0
    assert again.ask(BURSTING, "b", LATER_NS + SECOND_NS) == SECOND_NS // 2  # and there is no burst


@settings(deadline=None)
@given(st.binary(max_size=40) | st.builds(lambda cut, more: _TEXT[:cut] + more, st.integers(0, 400), st.binary()))
def test_any_damage_leaves_a_ledger_that_works(text: bytes) -> None:
    ledger = Ledger.parse(text, "boot", BURSTING, LATER_NS)
    assert 0 <= ledger.ask(BURSTING, "a", LATER_NS) <= RECHECK_NS
    assert Ledger.parse(ledger.dump(), "boot", BURSTING, LATER_NS) == ledger


_TEXT: bytes = _busy_text()


def test_nothing_written_yet_is_nothing_used() -> None:
    assert Ledger.parse(None, "boot", STEADY, NOW_NS).ask(STEADY, "a", NOW_NS) == 0


def test_clock_that_leaps_ahead_gives_nothing_beyond_the_rate() -> None:
    machine = Machine(STEADY, random.Random(7), late_ns=0)
    machine.run(2, NOW_NS + 5 * SECOND_NS)
    machine.now_ns += 86_400 * SECOND_NS
    assert [machine.look(ticket) for ticket in "abc"] == [0, SECOND_NS // 2, SECOND_NS]


def test_clock_that_goes_back_gives_nothing_beyond_the_rate() -> None:
    machine = Machine(STEADY, random.Random(8), late_ns=0)
    machine.run(2, NOW_NS + 5 * SECOND_NS)
    machine.now_ns = NOW_NS - 1000 * SECOND_NS
    assert machine.look("a") == SECOND_NS


# What was known before


@given(
    st.sampled_from(
        [STEADY, BURSTING, Limits(requests_per_s=20), Limits(requests_per_s=2, burst_requests=3, bursts=3)]
    ),
    st.sampled_from([0, SECOND_NS // 4, 3 * SECOND_NS]),
    st.randoms(use_true_random=False),
)
@settings(max_examples=20, deadline=None)
def test_whatever_was_known_of_books_that_are_whole_is_in_them(
    limits: Limits, late_ns: int, rng: random.Random
) -> None:
    machine = Machine(limits, rng, late_ns)
    machine.run(3, NOW_NS + 15 * SECOND_NS)
    told = Ledger.parse(machine.text, "boot", limits, machine.now_ns)
    for known in machine.seen:
        assert Ledger.parse(machine.text, "boot", limits, machine.now_ns, known) == told


@pytest.mark.parametrize("text", [None, b"", Ledger("boot").dump()], ids=["gone", "damaged", "begun anew"])
def test_lost_books_count_as_used_up_and_what_was_known_holds_on(text: bytes | None) -> None:
    known = Ledger.parse(_busy_text(), "boot", BURSTING, LATER_NS)
    known.pause.until_ns = LATER_NS + 5 * SECOND_NS
    ledger = Ledger.parse(text, "boot", BURSTING, LATER_NS, known)
    assert ledger.pause == known.pause
    assert ledger.pace.joined(known.pace) == ledger.pace
    assert ledger.pace.joined(Pace.used_up(BURSTING, LATER_NS)) == ledger.pace


@pytest.mark.parametrize("limits", [STEADY, BURSTING, Limits(requests_per_s=0)], ids=["steady", "bursting", "free"])
def test_books_that_were_lost_are_whole_again_for_others(limits: Limits) -> None:
    known = Ledger.parse(_busy_text(), "boot", BURSTING, LATER_NS)
    ledger = Ledger.parse(None, "boot", limits, NOW_NS + 3 * SECOND_NS, known)
    assert Ledger.parse(ledger.dump(), "boot", STEADY, LATER_NS) == ledger


def test_of_two_pauses_the_longer_holds_whoever_knew_of_it() -> None:
    short, long = Ledger("boot", pause=Pause(LATER_NS, 5)), Ledger("boot", pause=Pause(LATER_NS + 1, 2))
    for written, known in [(short, long), (long, short)]:
        assert Ledger.parse(written.dump(), "boot", STEADY, LATER_NS, known).pause == long.pause


def test_ledger_does_not_grow_with_each_loss() -> None:
    known = Ledger("boot", Pace(bursts=[Burst(NOW_NS - number, 1) for number in range(MAX_BURSTS, 0, -1)]))
    ledger = Ledger.parse(None, "boot", BURSTING, NOW_NS, known)
    assert len(ledger.pace.bursts) == MAX_BURSTS
    assert ledger.pace.bursts[-1] == Burst(NOW_NS, BURSTING.burst_extra)
