"""Books that go away while governors run: neither the rate nor a pause goes with them."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nomyo
from nomyo.batch.governor import Governor
from nomyo.batch.governor.limits import SECOND_NS, Limits
from nomyo.batch.governor.shared_file import SharedFile
from support.virtual_time import VirtualClock
from support.windows import check_every_window

STEADY = Limits(requests_per_s=2)
BURSTING = Limits(requests_per_s=2, burst_requests=4)


def _overwrite(directory: Path, content: bytes) -> None:
    with open(directory / "a.json", "r+b") as file:
        file.truncate(0)
        file.write(content)


LOSSES: dict[str, Callable[[Path], object]] = {
    "directory removed": shutil.rmtree,
    "file removed": lambda directory: (directory / "a.json").unlink(),
    "file emptied": lambda directory: _overwrite(directory, b""),
    "garbage": lambda directory: _overwrite(directory, b"\0" * 100),
}


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "books"


@pytest.fixture(params=LOSSES)
def lose(request: pytest.FixtureRequest, directory: Path) -> Callable[[], object]:
    return lambda: LOSSES[request.param](directory)


def _governors(number: int, limits: Limits, directory: Path, clock: VirtualClock) -> list[Governor]:
    return [Governor(limits, SharedFile(directory, "a"), clock) for _ in range(number)]


async def _send(governor: Governor, clock: VirtualClock, went: list[float], requests: int = 1) -> None:
    for _ in range(requests):
        async with governor.turn():
            went.append(clock.seconds)


@pytest.mark.parametrize("limits", [STEADY, BURSTING], ids=["steady", "bursting"])
def test_lost_books_cost_a_second_and_no_more(
    directory: Path, clock: VirtualClock, lose: Callable[[], object], limits: Limits
) -> None:
    governor = _governors(1, limits, directory, clock)[0]
    went: list[float] = []

    async def main() -> None:
        await governor.acquire()
        await clock.sleep(SECOND_NS // 1000)
        lose()
        await _send(governor, clock, went, 3)

    clock.run(main())
    assert went == [1.001, 1.501, 2.001]


def test_pause_outlives_the_books(directory: Path, clock: VirtualClock, lose: Callable[[], object]) -> None:
    governor = _governors(1, STEADY, directory, clock)[0]
    went: list[float] = []

    async def main() -> None:
        await governor.acquire()
        await governor.note(nomyo.RateLimitError("no", retry_after="5"))
        lose()
        await _send(governor, clock, went)
        assert governor.paused_s == 0

    clock.run(main())
    assert went == [5]


def test_pause_comes_back_to_all_from_whoever_knows_of_it(
    directory: Path, clock: VirtualClock, lose: Callable[[], object]
) -> None:
    knows, forgot = _governors(2, STEADY, directory, clock)
    went: list[float] = []

    async def main() -> None:
        await forgot.acquire()
        await knows.note(nomyo.RateLimitError("no", retry_after="30"))
        lose()
        await _send(forgot, clock, went)  # before anybody could tell it
        await asyncio.gather(_send(knows, clock, went), _send(forgot, clock, went))

    clock.run(main())
    assert went == [1, 30, 30.5]


def test_books_that_another_began_anew_are_gone_on_with(directory: Path, clock: VirtualClock) -> None:
    old, new = _governors(2, STEADY, directory, clock)
    went: list[float] = []

    async def main() -> None:
        await old.acquire()
        await old.note(nomyo.RateLimitError("no", retry_after="2"))
        shutil.rmtree(directory)
        await clock.sleep(SECOND_NS // 4)
        await _send(new, clock, went)  # which knows nothing of what was
        await new.note(nomyo.RateLimitError("no", retry_after="8"))
        await _send(old, clock, went, 2)

    clock.run(main())
    assert went == [0.25, 8.25, 8.75]


def test_older_books_that_are_put_back_take_nothing_back(directory: Path, clock: VirtualClock) -> None:
    governor = _governors(1, STEADY, directory, clock)[0]
    went: list[float] = []

    async def main() -> None:
        await governor.acquire()
        older = (directory / "a.json").read_bytes()
        await governor.acquire()
        await governor.note(nomyo.RateLimitError("no", retry_after="3"))
        _overwrite(directory, older)
        await _send(governor, clock, went)

    clock.run(main())
    assert went == [3.5]
    assert json.loads((directory / "a.json").read_bytes())["strikes"] == 0


@given(
    st.sampled_from([STEADY, BURSTING]),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4 * SECOND_NS)), min_size=1, max_size=25),
    st.lists(st.tuples(st.sampled_from(sorted(LOSSES)), st.integers(0, 4 * SECOND_NS)), min_size=1, max_size=4),
)
@settings(max_examples=40, deadline=None)
def test_governors_that_lose_their_books_keep_to_the_rates_over_any_window(
    limits: Limits, requests: list[tuple[int, int]], losses: list[tuple[str, int]]
) -> None:
    clock, went = VirtualClock(), []

    async def one(governor: Governor) -> None:
        await governor.acquire()
        went.append(clock.now)

    async def later(governor: Governor, begin_ns: int) -> None:
        await clock.sleep(begin_ns)
        await one(governor)

    async def lose(directory: Path, name: str, moment_ns: int) -> None:
        await clock.sleep(moment_ns)
        with suppress(FileNotFoundError):
            LOSSES[name](directory)

    async def main() -> None:
        with TemporaryDirectory() as base:
            directory = Path(base) / "books"
            governors = _governors(4, limits, directory, clock)
            for each in governors:  # from here on, each knows that there are books
                await one(each)
            await asyncio.gather(
                *(later(governors[number], begin_ns) for number, begin_ns in requests),
                *(lose(directory, name, moment_ns) for name, moment_ns in losses),
            )

    clock.run(main())
    assert len(went) == 4 + len(requests)
    check_every_window(went, limits)
