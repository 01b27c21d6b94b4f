"""Refusals and lost connections among answers: they hold their own rows, and not the batch."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nomyo.batch import sender
from nomyo.batch.admission import Outage
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.governor.pauses import ANSWERS_TO_A_REFUSAL, MAX_CREDIT
from nomyo.batch.records import Row
from nomyo.batch.sender import Sender
from nomyo.errors import APIConnectionError, RateLimitError, ServiceUnavailableError
from nomyo.responses import ChatCompletionResponse
from support.virtual_time import VirtualClock

FREE = Limits(requests_per_s=0)
LOST = APIConnectionError("reset", sent=True)
AWAY = APIConnectionError("refused", sent=False)
REFUSED = RateLimitError("too many")
Fails = Callable[[int], Exception | None]
"""What comes of the request with this number instead of an answer."""


async def lives() -> bool:
    return True


def sends(clock: VirtualClock, create: Any, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Sender:
    """Return a sender that lives by a fake clock."""
    monkeypatch.setattr(sender, "Outage", lambda: Outage(clock))
    monkeypatch.setattr(sender, "time", SimpleNamespace(monotonic=lambda: clock.seconds))
    options = {"max_retries": 0, "patience_s": 7200.0, "report": lambda _: None, **more}
    return Sender(create, options.pop("governor", None) or Governor(FREE, clock=clock), lives, **options)


def seconds(
    monkeypatch: pytest.MonkeyPatch, fails: Fails, *, rows: int, at_once: int, answer_s: float, limits: Limits = FREE
) -> tuple[float, int]:
    """Return how long so many rows take, and how many of them fail."""
    clock = VirtualClock()
    number = failed = 0

    async def create(_: Any) -> ChatCompletionResponse:
        nonlocal number
        number += 1
        error = fails(number)
        await clock.sleep(int(answer_s * 1e9))
        if error is not None:
            raise error
        return ChatCompletionResponse()

    async def worker(each: Sender, left: list[int]) -> None:
        nonlocal failed
        while left:
            [outcome] = await asyncio.gather(each.send(Row(left.pop(), "x", {})), return_exceptions=True)
            failed += isinstance(outcome, Exception)

    async def scene() -> None:
        one = sends(clock, create, monkeypatch, governor=Governor(limits, clock=clock))
        left = list(range(rows, 0, -1))
        await asyncio.gather(*(worker(one, left) for _ in range(at_once)))

    clock.run(scene())
    return clock.seconds, failed


def one_in_a_hundred(error: Exception) -> Fails:
    chance = random.Random(3)
    return lambda number: error if number > 20 and chance.random() < 0.01 else None


@pytest.mark.parametrize("error", [LOST, AWAY, REFUSED], ids=["lost", "away", "429"])
@pytest.mark.parametrize(("at_once", "answer_s"), [(1, 0.01), (32, 0.3), (4, 20.0)])
def test_one_failure_in_a_hundred_takes_a_fifth_of_the_time_at_most(
    at_once: int, answer_s: float, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene: dict[str, Any] = {"rows": 1200, "at_once": at_once, "answer_s": answer_s}
    undisturbed, _ = seconds(monkeypatch, lambda _: None, **scene)
    disturbed, failed = seconds(monkeypatch, one_in_a_hundred(error), **scene)
    assert (disturbed <= 1.2 * undisturbed, failed) == (True, 0), (disturbed, undisturbed)


@pytest.mark.parametrize("error", [LOST, REFUSED], ids=["lost", "429"])
def test_rate_is_kept_and_reached_among_failures(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    took, failed = seconds(
        monkeypatch,
        one_in_a_hundred(error),
        rows=400,
        at_once=8,
        answer_s=0.5,
        limits=Limits(requests_per_s=10, cool_down_s=60),
    )
    assert 40 <= took <= 1.2 * 40
    assert failed == 0


def test_connection_that_is_lost_holds_no_other_row_while_others_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = VirtualClock()
    began: list[float] = []

    async def create(body: Any) -> ChatCompletionResponse:
        began.append(clock.seconds)
        body["tries"] += 1
        await clock.sleep(2 * 10**9)
        if body["line"] == 3 and body["tries"] == 1:
            raise LOST
        return ChatCompletionResponse()

    async def scene() -> None:
        one = sends(clock, create, monkeypatch)
        for line in range(1, 7):  # two at a time
            both = [Row(line, "x", {"line": line, "tries": 0}), Row(0, "y", {"line": 0, "tries": 0})]
            await asyncio.gather(*map(one.send, both))

    clock.run(scene())
    assert began == [0, 0, 2, 2, 4, 4, 6, 8, 8, 10, 10, 12, 12]  # it is sent again at once


def test_pause_of_an_outage_ends_with_an_answer_and_the_next_begins_anew() -> None:
    clock = VirtualClock()
    ends: list[float] = []

    async def scene() -> None:
        outage = Outage(clock)
        for _ in range(5):
            outage.note()
            await outage.wait_until_over()
        assert (clock.seconds, outage.note()) == (31, 32)
        waiting = asyncio.create_task(outage.wait_until_over())
        await clock.sleep(10**9)
        outage.answered()
        await waiting
        ends.append(clock.seconds)
        assert [outage.note(), outage.note()] == [0, 1]  # the answer pays for one

    clock.run(scene())
    assert ends[0] <= 31 + 2


@pytest.fixture
def governors(tmp_path: Path) -> tuple[VirtualClock, Governor, Governor]:
    """Two processes' that share their books."""
    from nomyo.batch.governor.shared_file import SharedFile

    clock = VirtualClock()
    one, other = (Governor(FREE, SharedFile(tmp_path / "rates", "a"), clock) for _ in range(2))
    return clock, one, other


def test_answers_of_one_process_pay_for_the_refusal_of_another(governors: Any) -> None:
    clock, one, other = governors

    async def scene() -> list[float]:
        await one.acquire()
        for _ in range(ANSWERS_TO_A_REFUSAL):
            one.answered()
        return [await other.note(REFUSED) for _ in range(2)]

    assert clock.run(scene()) == [0, 1]


def test_refusals_in_a_row_grow_until_an_answer(governors: Any) -> None:
    clock, one, other = governors

    async def refused() -> float:
        paused_s: float = await other.note(REFUSED)
        await other.acquire()
        return paused_s

    async def scene() -> list[float]:
        pauses = [await refused() for _ in range(3)]
        one.answered()
        return [*pauses, await refused(), await refused()]

    assert clock.run(scene()) == [1, 2, 4, 1, 2]


@pytest.mark.parametrize(
    ("error", "pause_s"),
    [
        (RateLimitError("", retry_after="7"), 7),
        (ServiceUnavailableError("", retry_after="90"), 90),
        (ServiceUnavailableError(""), 60),
    ],
    ids=["429 with Retry-After", "503 with Retry-After", "503"],
)
def test_what_the_service_asks_for_is_waited_for_whatever_was_answered(
    error: Exception, pause_s: float, governors: Any
) -> None:
    clock, one, other = governors
    limits = Limits(requests_per_s=0, cool_down_s=60)

    async def scene() -> float:
        one._limits = other._limits = limits
        await one.acquire()
        for _ in range(2 * MAX_CREDIT):
            one.answered()
        await other.note(error)
        one.answered()
        await one.acquire()
        seconds: float = clock.seconds
        return seconds

    assert clock.run(scene()) == pause_s


def test_books_are_not_written_for_answers_while_all_goes_well(governors: Any, tmp_path: Path) -> None:
    clock, one, _ = governors

    async def scene() -> None:
        await one.acquire()
        for _ in range(MAX_CREDIT):
            assert not one.settled
            one.answered()
        assert one.settled
        before = (tmp_path / "rates" / "a.json").stat().st_ino
        one.answered()
        assert (tmp_path / "rates" / "a.json").stat().st_ino == before

    clock.run(scene())


def test_answer_is_none_the_worse_for_books_that_cannot_be_kept(governors: Any, monkeypatch: Any) -> None:
    _, one, _ = governors

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(one, "_change_now", full)
    one.answered()
