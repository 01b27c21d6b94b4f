"""The governor on a clock of the test's own: several of them stand for several processes, and share real books."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nomyo
from nomyo.batch.governor import Governor
from nomyo.batch.governor import governor as governor_module
from nomyo.batch.governor.governor import DIRECTORY_VARIABLE
from nomyo.batch.governor.limits import SECOND_NS, Limits
from nomyo.batch.governor.shared_file import SharedFile
from support.process import output_of
from support.virtual_time import VirtualClock
from support.windows import check_every_window, most_in_a_window

URL = "https://router.example"
KEY = "canary-key-6d1f"
STEADY = Limits(requests_per_s=2)
BURSTING = Limits(requests_per_s=2, burst_requests=4)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "books"


def _governors(number: int, limits: Limits, directory: Path, clock: VirtualClock) -> list[Governor]:
    return [Governor(limits, SharedFile(directory, "a"), clock) for _ in range(number)]


async def _send(governor: Governor, clock: VirtualClock, went: list[float], requests: int = 1) -> None:
    for _ in range(requests):
        async with governor.turn():
            went.append(clock.seconds)


@given(
    st.sampled_from([STEADY, BURSTING]),
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4 * SECOND_NS)), min_size=1, max_size=40),
)
@settings(max_examples=40, deadline=None)
def test_governors_together_keep_to_the_rates_over_any_window(limits: Limits, requests: list[tuple[int, int]]) -> None:
    clock, went = VirtualClock(), []

    async def one(governor: Governor, begin_ns: int) -> None:
        await clock.sleep(begin_ns)
        await governor.acquire()
        went.append(clock.now)

    async def main() -> None:
        with TemporaryDirectory() as directory:
            governors = _governors(4, limits, Path(directory) / "books", clock)
            await asyncio.gather(*(one(governors[number], begin_ns) for number, begin_ns in requests))

    clock.run(main())
    assert len(went) == len(requests)
    check_every_window(went, limits)
    assert most_in_a_window(went, 10 * SECOND_NS) <= 20 + limits.burst_extra


def test_without_bursts_requests_go_evenly(clock: VirtualClock) -> None:
    went: list[float] = []
    clock.run(_send(Governor(STEADY, clock=clock), clock, went, 5))
    assert went == [0, 0.5, 1, 1.5, 2]


def test_requests_of_one_process_go_in_the_order_in_which_they_came(clock: VirtualClock) -> None:
    governor, order = Governor(STEADY, clock=clock), []

    async def one(number: int) -> None:
        await governor.acquire()
        order.append(number)

    async def main() -> None:
        await asyncio.gather(*(one(number) for number in range(20)))

    clock.run(main())
    assert order == list(range(20))
    assert clock.seconds == 9.5


def test_processes_take_turns_whatever_each_has_waiting(directory: Path, clock: VirtualClock) -> None:
    many, few = _governors(2, STEADY, directory, clock)
    went: dict[str, list[float]] = {"many": [], "few": []}

    async def main() -> None:
        await asyncio.gather(*(_send(many, clock, went["many"]) for _ in range(30)), _send(few, clock, went["few"], 3))

    clock.run(main())
    assert went["few"] == [1, 2, 3]


def test_request_that_is_cancelled_takes_no_turn_of_others(directory: Path, clock: VirtualClock) -> None:
    first, second, third = _governors(3, STEADY, directory, clock)
    went: list[float] = []

    async def main() -> None:
        await first.acquire()
        waiting = asyncio.create_task(second.acquire())
        await asyncio.sleep(0)
        last = asyncio.create_task(_send(third, clock, went))
        await asyncio.sleep(0)
        waiting.cancel()
        await clock.sleep(SECOND_NS // 4)
        await last
        await _send(second, clock, went)

    clock.run(main())
    # It had reckoned with the one before it; nothing is lost after that.
    assert went == [1.0, 1.5]
    assert json.loads((directory / "a.json").read_text())["line"] == []


# Pauses


async def _fail(governor: Governor, error: BaseException) -> None:
    with pytest.raises(type(error)):
        async with governor.turn():
            raise error


def test_503_in_one_process_pauses_all_of_them_for_the_cool_down(directory: Path, clock: VirtualClock) -> None:
    one, other = _governors(2, STEADY, directory, clock)
    went: list[float] = []

    async def main() -> None:
        await _fail(one, nomyo.ServiceUnavailableError("no"))
        assert one.paused_s == 1800
        await asyncio.gather(_send(other, clock, went, 2), _send(one, clock, went))

    clock.run(main())
    assert went == [1800, 1800.5, 1801]
    assert one.paused_s == other.paused_s == 0


def test_pause_that_begins_while_others_wait_holds_them_too(directory: Path, clock: VirtualClock) -> None:
    one, other = _governors(2, STEADY, directory, clock)
    went: list[float] = []

    async def main() -> None:
        await one.acquire()
        waiting = asyncio.create_task(_send(other, clock, went, 2))
        await asyncio.sleep(0)
        assert await one.note(nomyo.RateLimitError("no", retry_after="30")) == 30
        await waiting

    clock.run(main())
    assert went == [30, 30.5]
    assert clock.seconds == 30.5


def test_pause_reaches_those_without_a_limit(directory: Path, clock: VirtualClock) -> None:
    one = _governors(1, STEADY, directory, clock)[0]
    free = _governors(1, Limits(requests_per_s=0), directory, clock)[0]
    went: list[float] = []

    async def main() -> None:
        await _send(free, clock, went, 100)
        assert went == [0] * 100
        await _fail(one, nomyo.RateLimitError("no", retry_after="7"))
        await _send(free, clock, went, 100)

    clock.run(main())
    assert went == [0] * 100 + [7] * 100


@pytest.mark.parametrize(
    "error",
    [nomyo.ServerError("no"), nomyo.APIConnectionError("no"), nomyo.SecurityError("no"), ValueError()],
    ids=lambda error: type(error).__name__,
)
def test_error_that_asks_for_no_pause_passes(clock: VirtualClock, error: BaseException) -> None:
    governor = Governor(STEADY, clock=clock)
    clock.run(_fail(governor, error))
    assert governor.paused_s == 0


def test_pause_ends_with_the_boot_and_the_rate_goes_on(directory: Path, clock: VirtualClock) -> None:
    clock.run(_fail(_governors(1, BURSTING, directory, clock)[0], nomyo.ServiceUnavailableError("no")))
    rebooted = VirtualClock("another boot")
    rebooted.now = 3 * SECOND_NS
    went: list[int] = []

    async def main() -> None:
        governor = _governors(1, BURSTING, directory, rebooted)[0]
        for _ in range(3):
            await governor.acquire()
            went.append(rebooted.now)

    rebooted.run(main())
    assert went == [4 * SECOND_NS, 4 * SECOND_NS + SECOND_NS // 2, 5 * SECOND_NS]


def test_wall_clock_is_not_asked() -> None:
    """In a process of its own: the servers in this one ask for the date."""
    program = """
import asyncio, time
from nomyo.batch.governor import Governor, Limits

def refuse():
    raise AssertionError("the wall clock was asked")

time.time = time.time_ns = refuse

async def main():
    governor = Governor(Limits(requests_per_s=1000))
    for _ in range(3):
        await governor.acquire()

asyncio.run(main())
"""
    assert output_of(program) == ""


# Books


@pytest.fixture
def held(directory: Path) -> Iterator[int]:
    """The lock of the books, which somebody else holds until it is closed."""
    directory.mkdir(0o700)
    lock = os.open(directory / "a.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    yield lock
    os.close(lock)


def test_event_loop_goes_on_while_another_process_holds_the_lock(directory: Path, held: int) -> None:
    async def main() -> None:
        waiting = asyncio.create_task(Governor(STEADY, SharedFile(directory, "a")).acquire())
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not waiting.done()
        fcntl.flock(held, fcntl.LOCK_UN)
        await asyncio.wait_for(waiting, 30)

    asyncio.run(main())


def test_lock_that_is_held_for_long_leads_to_a_word_and_to_no_request(
    directory: Path, held: int, clock: VirtualClock
) -> None:
    went: list[float] = []

    async def main() -> None:
        waiting = asyncio.create_task(_send(_governors(1, STEADY, directory, clock)[0], clock, went))
        await clock.sleep(30 * SECOND_NS)
        assert not went
        fcntl.flock(held, fcntl.LOCK_UN)
        await waiting

    with pytest.warns(UserWarning, match=r"another process holds .*a\.lock") as warned:
        clock.run(main())
    assert len(warned) == 1
    assert went


def test_nothing_goes_where_the_books_cannot_be_written(directory: Path, clock: VirtualClock) -> None:
    governor = _governors(1, STEADY, directory, clock)[0]
    went: list[float] = []

    async def main() -> None:
        await governor.acquire()
        (directory / "a.new").mkdir()
        await clock.sleep(SECOND_NS)
        with pytest.raises(OSError):
            await governor.acquire()
        (directory / "a.new").rmdir()
        await _send(governor, clock, went)

    clock.run(main())
    assert went == [1]


def test_damaged_books_cost_a_second_and_no_more(directory: Path, clock: VirtualClock) -> None:
    before, governor = _governors(2, BURSTING, directory, clock)
    clock.run(before.acquire())
    (directory / "a.json").write_bytes(b"\0" * 100)
    went: list[float] = []
    clock.run(_send(governor, clock, went, 2))
    assert went == [1, 1.5]


def test_key_and_url_find_the_same_books_again_and_no_other(directory: Path, clock: VirtualClock) -> None:
    def share(url: str, key: str | None) -> None:
        Governor.shared(STEADY, url, key, directory=directory, clock=clock)

    share(URL, KEY)
    share("https://ROUTER.example:443/", KEY)
    assert len(list(directory.iterdir())) == 1
    for url, key in [(URL, "another"), (URL, ""), ("https://router.example:8443", KEY), ("http://router.example", KEY)]:
        share(url, key)
    share("https://router.example/v2", KEY)
    assert len(list(directory.iterdir())) == 6


def test_key_is_taken_from_the_environment_as_clients_do(
    directory: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    Governor.shared(STEADY, URL, KEY, directory=directory, clock=clock)
    monkeypatch.setenv("NOMYO_API_KEY", KEY)
    monkeypatch.setenv("NOMYO_BASE_URL", URL)
    Governor.shared(STEADY, directory=directory, clock=clock)
    assert len(list(directory.iterdir())) == 1


def test_books_hold_neither_key_nor_url(directory: Path, clock: VirtualClock) -> None:
    governor = Governor.shared(STEADY, URL, KEY, directory=directory, clock=clock)
    clock.run(governor.acquire())
    shown = [each.name.encode() + each.read_bytes() for each in directory.iterdir()]
    assert len(shown) == 2
    assert not any(secret in b"".join(shown) for secret in (KEY.encode(), b"router", KEY.encode().hex().encode()))
    assert KEY not in repr(vars(governor))


@pytest.fixture
def no_directory_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(DIRECTORY_VARIABLE)


def test_directory_may_be_named_by_the_environment(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "rates"))
    clock.run(_send(Governor.shared(STEADY, URL, KEY, clock=clock), clock, []))
    assert sorted(each.suffix for each in (tmp_path / "rates").iterdir()) == [".json", ".lock"]


def test_directory_of_the_environment_that_cannot_be_used_is_told_by_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path / "no" / "such"))
    with pytest.raises(FileNotFoundError, match=rf"{DIRECTORY_VARIABLE} \({tmp_path}/no/such\)"):
        Governor.shared(STEADY, URL, KEY)
    monkeypatch.setenv(DIRECTORY_VARIABLE, "/dev/null")
    with pytest.raises(nomyo.SecurityError, match=rf"^/dev/null is .*{DIRECTORY_VARIABLE} names") as raised:
        Governor.shared(STEADY, URL, KEY)
    assert "emove" not in str(raised.value)


@pytest.mark.parametrize(
    ("url", "rate", "cool_down_s"),
    [
        ("https://api.nomyo.ai", 2, 1800),
        ("https://API.nomyo.ai:443/v1", 2, 1800),
        ("http://localhost:8000", 0, 60),
        ("https://nomyo.example", 0, 60),
    ],
)
def test_rules_of_the_public_service_are_those_of_its_address(url: str, rate: float, cool_down_s: float) -> None:
    limits = Limits.of(url)
    assert (limits.requests_per_s, limits.burst_requests, limits.cool_down_s) == (rate, 0, cool_down_s)


def test_directory_that_cannot_be_made_is_an_error_where_it_was_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        Governor.shared(STEADY, URL, KEY, directory=tmp_path / "no" / "such")
    frames = [repr(frame.f_locals) for frame, _ in traceback.walk_tb(raised.tb)][1:]
    assert KEY not in "".join(frames)


@pytest.mark.usefixtures("no_directory_asked_for")
def test_default_directory_that_cannot_be_made_leads_to_a_word_and_books_of_ones_own(
    tmp_path: Path, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(governor_module, "default_directory", lambda: tmp_path / "no" / "such")
    with pytest.warns(UserWarning, match="in this process alone") as warned:
        governor = Governor.shared(STEADY, URL, KEY, clock=clock)
    assert warned[0].filename == __file__
    went: list[float] = []
    clock.run(_send(governor, clock, went, 3))
    assert went == [0, 0.5, 1]


@pytest.mark.usefixtures("no_directory_asked_for")
def test_default_directory_of_somebody_else_is_an_error_and_no_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    monkeypatch.setattr(governor_module, "default_directory", lambda: tmp_path / "link")
    with pytest.raises(nomyo.SecurityError, match="link"):
        Governor.shared(STEADY, URL, KEY)
