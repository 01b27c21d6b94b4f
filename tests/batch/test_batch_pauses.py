"""What pauses a batch: the rate that it keeps, a service that asks for it, a router that is away."""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import nomyo
import nomyo.batch
from nomyo import BatchError
from nomyo.batch import sender
from nomyo.batch.admission import Outage
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.records import Row
from nomyo.batch.sender import Sender
from nomyo.errors import APIConnectionError, RateLimitError, ServiceUnavailableError
from nomyo.responses import ChatCompletionResponse
from support.batch_scene import (
    EXPECTED,
    NO_COOL_DOWN,
    ROWS,
    PromptNotingRouter,
    Told,
    batch,
    in_background,
    lives,
    outcomes,
    request,
    rows_of,
    write_input,
)
from support.faults import Answer, FaultyRouter
from support.virtual_time import VirtualClock
from support.waiting import until

NEXT_TRY = r"; next try at \d\d:\d\d:\d\d"
FURTHER = ", further ones at most 60 s apart"


def test_router_that_goes_away_for_a_while_costs_no_row(
    source: Path, output: Path, key_directory: Path, unused_port: int
) -> None:
    """It comes back with another key, too."""
    options: dict[str, Any] = {
        "base_url": f"http://127.0.0.1:{unused_port}",
        "allow_http": True,
        "key_dir": key_directory,
    }
    told = Told()
    work = lambda: nomyo.batch.run(source, output, concurrency=4, progress=told, **options)  # noqa: E731
    with in_background(work) as came:
        until(lambda: told.words)  # not there yet
        for _ in range(2):
            before = output.stat().st_size
            with PromptNotingRouter(delay_s=0.05, port=unused_port):
                until(lambda before=before: output.stat().st_size > before)  # type: ignore[misc]
            time.sleep(0.5)
        with PromptNotingRouter(port=unused_port):
            until(lambda: came, timeout_s=60)
    [summary] = came
    assert (summary.succeeded, summary.failed) == (ROWS, 0)
    assert outcomes(output) == EXPECTED
    away = f"the router cannot be reached (no answer from {options['base_url']} "
    first, *later = told.words
    assert first.startswith(away)
    assert re.search(rf"\): waiting, for 60 s at most{NEXT_TRY}{FURTHER}$", first)  # nobody ever answered there
    assert all(re.search(rf"\): waiting, for 7,200 s at most{NEXT_TRY}{FURTHER}$", words) for words in later)
    assert all(words.startswith(away) for words in later)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.usefixtures("short_pauses")
def test_refusal_of_all_pauses_and_costs_no_row(status: int, run: Any, faulty_router: Any, output: Path) -> None:
    faulty_router.always(Answer(status, b'{"detail": "secret words"}'), 20)
    told = Told()
    assert run(progress=told, max_retries=0, limits=NO_COOL_DOWN).failed == 0
    assert outcomes(output) == EXPECTED
    hint = " (a lower rate would spare that)" if status == 429 else ""
    [words] = told.words
    further = FURTHER if status == 429 else ""
    assert re.fullmatch(re.escape(f"the router answered with HTTP {status}: waiting{hint}") + NEXT_TRY + further, words)


def test_pause_lasts_as_long_as_the_router_asks_for_and_holds_all_rows(run: Any, faulty_router: Any) -> None:
    faulty_router.answers.append(Answer(503, headers={"retry-after": "2"}))
    with in_background(run) as came:
        until(lambda: len(faulty_router.posts) >= 4)
        time.sleep(1.5)
        assert len(faulty_router.posts) <= 4 + 4, "requests left during the pause"
    assert came[0].failed == 0


@pytest.mark.usefixtures("short_pauses")
def test_patience_ends(run: Any, faulty_router: Any, output: Path) -> None:
    faulty_router.always(Answer(503), 1000)
    began = time.monotonic()
    with pytest.raises(BatchError, match="HTTP 503: the batch stopped, and the same command goes on"):
        run(patience=0.5, limits=NO_COOL_DOWN)
    assert 0.5 - 0.1 <= time.monotonic() - began < 10  # a pause of 0.1 s would have been too long
    assert output.read_bytes() == b""
    faulty_router.reset()
    assert run(limits=NO_COOL_DOWN).succeeded == ROWS


def test_pause_that_would_outlast_the_patience_ends_the_batch_at_once(run: Any, faulty_router: Any) -> None:
    faulty_router.answers.append(Answer(503, headers={"retry-after": "40"}))
    began = time.monotonic()
    with pytest.raises(BatchError, match="HTTP 503: the batch stopped"):
        run(patience=2)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("status", [500, 502])
def test_retry_after_on_any_failure_pauses_all_rows_and_fails_none(status: int, run: Any, faulty_router: Any) -> None:
    faulty_router.answers.append(Answer(status, headers={"retry-after": "2"}))
    with in_background(run) as came:
        until(lambda: len(faulty_router.posts) >= 4)
        time.sleep(1.2)
        assert len(faulty_router.posts) <= 4 + 4, "requests left during the pause"
    assert came[0].failed == 0


@pytest.mark.usefixtures("short_pauses")
def test_patience_begins_anew_with_every_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now, fails = 0.0, 0

    class Slow:
        async def acquire(self) -> None:
            nonlocal now
            now += 0.2

        async def note(self, error: Any) -> float:
            return 0.0

    async def create(_: Any) -> ChatCompletionResponse:
        nonlocal fails
        fails += 1
        if fails % 3:
            raise ServiceUnavailableError("")
        return ChatCompletionResponse()

    async def scene() -> None:
        sends = Sender(create, Slow(), lives, max_retries=0, patience_s=0.5, report=lambda _: None)
        for line in range(1, 10):
            await sends.send(Row(line, "x", {}))

    monkeypatch.setattr(sender, "time", SimpleNamespace(monotonic=lambda: now))
    asyncio.run(scene())
    assert now > 10 * 0.5


def test_troubles_that_follow_each_other_are_told_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    told: list[float] = []

    class Unasked:
        async def acquire(self) -> None:
            nonlocal now
            now += 1.0

        async def note(self, error: BaseException) -> float:
            return 0.0

    async def create(body: Any) -> ChatCompletionResponse:
        body["tries"] += 1
        if body["tries"] == 1:
            raise RateLimitError("")
        return ChatCompletionResponse()

    async def scene() -> None:
        sends = Sender(create, Unasked(), lives, max_retries=0, patience_s=60, report=lambda _: told.append(now))
        for line in range(1, 16):
            await sends.send(Row(line, "x", {"tries": 0}))

    monkeypatch.setattr(sender, "time", SimpleNamespace(monotonic=lambda: now))
    asyncio.run(scene())
    assert told == [1, 11, 21]


def test_answer_that_comes_while_a_pause_is_noted_ends_the_trouble() -> None:
    async def create(body: Any) -> ChatCompletionResponse:
        body["tries"] += 1
        if body["fails"] and body["tries"] == 1:
            raise ServiceUnavailableError("")
        await asyncio.sleep(0.05)
        return ChatCompletionResponse()

    class SlowToNote(Governor):
        async def note(self, error: BaseException) -> float:
            await asyncio.sleep(0.1)
            return 0.0

    async def scene() -> list[Any]:
        sends = Sender(create, SlowToNote(NO_COOL_DOWN), lives, max_retries=0, patience_s=1, report=lambda _: None)
        rows = [Row(line, "x", {"fails": line == 1, "tries": 0}) for line in (1, 2)]
        return await asyncio.gather(*map(sends.send, rows), return_exceptions=True)

    assert [type(outcome) for outcome in asyncio.run(scene())] == [ChatCompletionResponse] * 2


def test_governor_is_asked_before_every_request_and_told_of_refusals(run: Any, faulty_router: Any) -> None:
    class Noting:
        asked = 0
        noted: list[Any] = []  # noqa: RUF012

        async def acquire(self) -> None:
            self.asked += 1

        async def note(self, error: Any) -> float:
            self.noted.append(error)
            return 0.0

    faulty_router.always(Answer(503), 3)
    noting = Noting()
    assert run(governor=noting).succeeded == ROWS
    assert noting.asked == len(faulty_router.posts) == ROWS + 3
    assert [error.status_code for error in noting.noted] == [503] * 3


def test_pauses_of_an_outage_grow_while_nothing_gets_better_and_begin_anew_later() -> None:
    clock = VirtualClock()
    pauses: list[float] = []

    async def scene() -> None:
        outage = Outage(clock)
        for calm_s in (0, 0, 0, 0, 0, 0, 0, 0, 100):
            await clock.sleep(calm_s * 10**9)
            for _ in range(3):  # all that were under way fail
                outage.note()
            began = clock.seconds
            await outage.wait_until_over()
            pauses.append(clock.seconds - began)

    clock.run(scene())
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 1]


def test_router_that_is_away_is_asked_once_for_each_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a fake clock; eight rows wait for it together."""
    clock = VirtualClock()
    asked: list[float] = []
    monkeypatch.setattr(sender, "Outage", lambda: Outage(clock))

    async def create(_: Any) -> ChatCompletionResponse:
        asked.append(clock.seconds)
        if clock.seconds < 100:
            raise APIConnectionError("away", sent=False)
        return ChatCompletionResponse()

    async def scene() -> None:
        sends = Sender(
            create, Governor(NO_COOL_DOWN, clock=clock), lives, max_retries=0, patience_s=200, report=lambda _: None
        )
        await asyncio.gather(*(sends.send(Row(line, "x", {})) for line in range(1, 9)))

    clock.run(scene())
    assert asked == [0, 1, 3, 7, 15, 31, 63, *[123] * 8]


def test_service_that_cools_down_is_asked_once_for_each_pause(key_directory: Path, source: Path, output: Path) -> None:
    """By a fake clock: 503, half an hour without a request, and all goes on at two requests a second."""
    clock = VirtualClock()
    sent: list[float] = []
    told: list[str] = []

    async def create(_: Any) -> ChatCompletionResponse:
        sent.append(clock.seconds)
        if len(sent) == 11:
            raise ServiceUnavailableError("cooling down")
        return ChatCompletionResponse()

    async def scene() -> None:
        sends = Sender(
            create, Governor(Limits(), clock=clock), lives, max_retries=0, patience_s=3600, report=told.append
        )
        await asyncio.gather(*(sends.send(Row(line, "x", {})) for line in range(1, 21)))

    began = time.time()
    clock.run(scene())
    assert sent == [0.5 * n for n in range(11)] + [1805 + 0.5 * n for n in range(10)]
    words, _, moment = told[0].partition("; next try at ")
    assert (len(told), words) == (1, "the router answered with HTTP 503: waiting for 1,800 s")
    moments = [time.localtime(began + 1800 + late) for late in range(60)]
    forms = ("%H:%M:%S", "%Y-%m-%d %H:%M:%S")  # before midnight the pause ends on another day
    assert moment in [time.strftime(form, each) for each in moments for form in forms]


@pytest.mark.slow("sends at a rate, and keeps a pause of three seconds")
def test_batches_with_the_same_api_key_share_rate_and_pauses(
    run: Any, faulty_router: Any, source: Path, key_directory: Path, tmp_path: Path
) -> None:
    """Two commands beside this process: together they send at the one rate."""
    options = ["--key-dir", str(key_directory), "--rate", "20"]
    sources = [write_input(tmp_path / f"in-{n}.jsonl", map(request, range(20))) for n in range(2)]
    outputs = [tmp_path / f"out-{n}.jsonl" for n in range(2)]
    works = [partial(batch, *each, faulty_router.url, *options) for each in zip(sources, outputs, strict=True)]
    began = time.monotonic()
    with in_background(works[0]) as one, in_background(works[1]) as other:
        run(rate=20, governor=None)
    assert one[0].returncode == other[0].returncode == 0, (one[0].stderr, other[0].stderr)
    assert time.monotonic() - began >= (ROWS + 40 - 1) / 20
    faulty_router.answers.append(Answer(503, headers={"retry-after": "3"}))
    write_input(source, map(request, range(100, 101)))
    with in_background(partial(batch, source, tmp_path / "other", faulty_router.url, *options)):
        until(lambda: not faulty_router.answers)
        paused = time.monotonic()
        time.sleep(0.2)
        assert (
            nomyo.batch.run(
                sources[0], tmp_path / "third", base_url=faulty_router.url, allow_http=True, key_dir=key_directory
            ).failed
            == 0
        )
        assert time.monotonic() - paused >= 2.7


def test_cool_down_of_a_command_is_as_long_as_it_was_told(
    faulty_router: FaultyRouter, source: Path, output: Path, key_directory: Path
) -> None:
    faulty_router.answers.append(Answer(503))
    began = time.monotonic()
    done = batch(source, output, faulty_router.url, "--key-dir", str(key_directory), "--cool-down", "3")
    assert (done.returncode, outcomes(output)) == (0, EXPECTED)
    assert 3 <= time.monotonic() - began < 50  # without the option, a minute


def test_books_that_cannot_be_kept_stop_the_batch_and_fail_no_row(
    run: Any, output: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOMYO_RATE_DIR", str(tmp_path / "no" / "such"))
    with pytest.raises(FileNotFoundError):
        run()
    monkeypatch.setenv("NOMYO_RATE_DIR", str(tmp_path / "rates"))
    asked = 0
    acquire = Governor.acquire

    async def failing(self: Governor) -> None:
        nonlocal asked
        asked += 1
        if asked > 10:
            raise OSError(28, "No space left on device", "books.json")
        await acquire(self)

    with monkeypatch.context() as broken:
        broken.setattr(Governor, "acquire", failing)
        with pytest.raises(BatchError, match=r"No space left on device: 'books\.json': the batch stopped"):
            run()
    assert len(rows_of(output)) == 10
    assert run().failed == 0


def test_governor_of_another_event_loop_fails_no_row(run: Any, output: Path) -> None:
    governor = Governor(NO_COOL_DOWN)
    asyncio.run(governor.acquire())
    with pytest.raises(BatchError, match="event loop"):
        run(governor=governor)
    assert output.read_bytes() == b""
    assert run().failed == 0
