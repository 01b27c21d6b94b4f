"""What fails while a batch runs: a row alone, or the router for all of them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import nomyo.batch
from batch_scene import NotingRouter, batch, in_background, outcomes, request, rows_of, write_input
from faults import Answer, FaultyRouter
from nomyo import BatchError
from nomyo.batch import admission, sender
from nomyo.batch.admission import OwnRate
from nomyo.batch.progress import Silent
from nomyo.batch.records import Row
from nomyo.batch.sender import Sender
from nomyo.errors import RateLimitError, ServiceUnavailableError
from nomyo.response import ChatCompletionResponse
from nomyo.serve.router.running import RunningRouter
from waiting import until

ROWS = 60
EXPECTED = [(f"row-{number}", f"prompt {number} é", None) for number in range(ROWS)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_input(tmp_path / "in.jsonl", map(request, range(ROWS)))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def run(faulty_router: FaultyRouter, key_directory: Path, source: Path, output: Path) -> Any:
    def run(**options: Any) -> nomyo.batch.Summary:
        given = {"base_url": faulty_router.url, "allow_http": True, "key_dir": key_directory, "concurrency": 4}
        return nomyo.batch.run(source, output, **{**given, **options})

    return run


class Told(Silent):
    def __init__(self) -> None:
        self.words: list[str] = []

    def tell(self, words: str) -> None:
        self.words.append(words)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "FIRST_PAUSE_S", 0.05)
    monkeypatch.setattr(admission, "LONGEST_PAUSE_S", 0.1)


def test_router_that_goes_away_for_a_while_costs_no_row(
    source: Path, output: Path, key_directory: Path, unused_port: int
) -> None:
    """It comes back with another key, too."""
    options = {"base_url": f"http://127.0.0.1:{unused_port}", "allow_http": True, "key_dir": key_directory}
    told = Told()
    work = lambda: nomyo.batch.run(source, output, concurrency=4, progress=told, **options)  # noqa: E731
    with in_background(work) as came:
        until(lambda: told.words)  # not there yet
        for _ in range(2):
            before = output.stat().st_size
            with NotingRouter(delay_s=0.05, port=unused_port):
                until(lambda before=before: output.stat().st_size > before)  # type: ignore[misc]
            time.sleep(0.5)
        with NotingRouter(port=unused_port):
            until(lambda: came, timeout_s=60)
    [summary] = came
    assert (summary.succeeded, summary.failed) == (ROWS, 0)
    assert outcomes(output) == EXPECTED
    assert set(told.words) == {"the router cannot be reached: waiting"}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.usefixtures("short_pauses")
def test_refusal_of_all_pauses_and_costs_no_row(status: int, run: Any, faulty_router: Any, output: Path) -> None:
    faulty_router.always(Answer(status, b'{"detail": "secret words"}'), 20)
    told = Told()
    assert run(progress=told, max_retries=0).failed == 0
    assert outcomes(output) == EXPECTED
    assert told.words == [f"the router answered with HTTP {status}: waiting"]


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
        run(patience=0.5)
    assert 0.5 <= time.monotonic() - began < 10
    assert output.read_bytes() == b""
    faulty_router.reset()
    assert run().succeeded == ROWS


def test_patience_begins_anew_with_every_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now, fails = 0.0, 0

    class Slow:
        async def acquire(self) -> None:
            nonlocal now
            now += 0.2

        async def note(self, error: Any) -> None: ...

    async def create(_: Any) -> ChatCompletionResponse:
        nonlocal fails
        fails += 1
        if fails % 3:
            raise ServiceUnavailableError("")
        return ChatCompletionResponse()

    async def scene() -> None:
        sends = Sender(create, Slow(), max_retries=0, patience_s=0.5, tell=lambda _: None)
        for line in range(1, 10):
            await sends.send(Row(line, "x", {}))

    monkeypatch.setattr(sender, "time", SimpleNamespace(monotonic=lambda: now))
    asyncio.run(scene())
    assert now > 10 * 0.5


def test_api_key_that_is_refused_stops_the_batch_at_once(run: Any, faulty_router: Any, output: Path) -> None:
    faulty_router.always(Answer(401), 1000)
    with pytest.raises(BatchError, match="HTTP 401: the batch stopped"):
        run()
    assert len(faulty_router.posts) <= 4
    assert output.read_bytes() == b""
    faulty_router.reset()
    assert run().succeeded == ROWS
    assert outcomes(output) == EXPECTED


def test_command_that_had_to_stop_says_why_and_that_it_goes_on(
    faulty_router: FaultyRouter, source: Path, output: Path, key_directory: Path
) -> None:
    faulty_router.always(Answer(401, b'{"detail": "secret words"}'), 1000)
    done = batch(source, output, faulty_router.url, "--key-dir", str(key_directory))
    assert (done.returncode, done.stdout) == (1, "")
    assert "HTTP 401: the batch stopped, and the same command goes on" in done.stderr
    assert "secret" not in done.stderr


@pytest.mark.parametrize("status", [500, 502, 504])
def test_failure_that_may_pass_is_tried_again_so_often(
    status: int, run: Any, faulty_router: Any, output: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(sender, "delay_before", lambda *_: 0.0)
    faulty_router.always(Answer(status), 2)
    assert run(concurrency=1, max_retries=1).failed == 1
    assert outcomes(output)[0][0] == "row-0"
    assert outcomes(output)[1:] == EXPECTED[1:]
    assert len(faulty_router.posts) == ROWS + 1


@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_refusal_of_one_row_is_its_outcome(status: int, run: Any, faulty_router: Any, output: Path) -> None:
    faulty_router.answers.append(Answer(status))
    assert run(concurrency=1).failed == 1
    row = rows_of(output)[0]
    assert (row["custom_id"], row["response"]["status_code"]) == ("row-0", status)
    assert row["error"]["message"] == "as the test wants it"


def test_row_that_takes_too_long_holds_no_other_up(source: Path, output: Path, key_directory: Path) -> None:
    write_input(source, map(request, range(3)))
    with NotingRouter(delay_s=60) as noting:
        options = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory}
        summary = nomyo.batch.run(source, output, timeout=0.3, max_retries=0, **options)
    assert summary.failed == 3
    assert [code for _, _, code in outcomes(output)] == ["timeout"] * 3


def test_answers_that_are_not_safe_stop_the_batch_when_there_are_no_others(
    run: Any, faulty_router: Any, output: Path
) -> None:
    faulty_router.always(Answer(200, b"{}"), 1000)
    with pytest.raises(BatchError, match="the batch stopped"):
        run()
    written = rows_of(output)
    assert len(written) < sender.SUSPICIOUS_IN_A_ROW
    assert {row["error"]["code"] for row in written} == {"security_error"}
    faulty_router.reset()
    assert run(retry_errors=True).succeeded == ROWS


def test_answer_that_is_not_safe_is_the_outcome_of_its_row(run: Any, faulty_router: Any, output: Path) -> None:
    """There are more in all than would stop the batch, and never so many in a row."""
    answers = 0

    def change(body: bytes) -> bytes:
        nonlocal answers
        answers += 1
        return body if answers % 16 == 0 else b"{}"

    faulty_router.change = change
    assert run(concurrency=1).failed == ROWS - ROWS // 16
    assert [code for _, _, code in outcomes(output)].count("security_error") == ROWS - ROWS // 16


def test_failure_holds_nothing_of_the_rows(run: Any, faulty_router: Any) -> None:
    faulty_router.always(Answer(401, b'{"detail": "secret words"}'), 1000)
    with pytest.raises(BatchError) as caught:
        run()
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
    trace = caught.value.__traceback__
    while trace is not None:
        if "/nomyo/batch/" in trace.tb_frame.f_code.co_filename and trace.tb_frame.f_code.co_name != "run":
            assert "prompt" not in repr(trace.tb_frame.f_locals)
        trace = trace.tb_next


def test_stop_from_within_lets_the_rest_be(run: Any, output: Path) -> None:
    stop = nomyo.batch.Stop()

    class StopAtFive(Told):
        rows = 0

        def row(self, **_: Any) -> None:
            self.rows += 1
            if self.rows == 5:
                stop()

    summary = run(stop=stop, progress=StopAtFive())
    assert 5 <= summary.succeeded <= 5 + 2 * 4
    assert summary.left == ROWS - summary.succeeded
    assert run().left == 0
    assert outcomes(output) == EXPECTED


def test_stop_before_the_start_sends_nothing(run: Any, faulty_router: Any) -> None:
    stop = nomyo.batch.Stop()
    stop()
    assert run(stop=stop).left == ROWS
    assert faulty_router.posts == []


def test_governor_is_asked_before_every_request_and_told_of_refusals(run: Any, faulty_router: Any) -> None:
    class Noting:
        asked = 0
        noted: list[Any] = []  # noqa: RUF012

        async def acquire(self) -> None:
            self.asked += 1

        async def note(self, error: Any) -> None:
            self.noted.append(error)

    faulty_router.always(Answer(503), 3)
    noting = Noting()
    assert run(governor=noting).succeeded == ROWS
    assert noting.asked == len(faulty_router.posts) == ROWS + 3
    assert [error.status_code for error in noting.noted] == [503] * 3


def test_cancelled_run_leaves_an_output_that_goes_on(
    router: RunningRouter, source: Path, output: Path, key_directory: Path
) -> None:
    options = {"base_url": router.url, "allow_http": True, "key_dir": key_directory}

    async def cancelled() -> None:
        task = asyncio.create_task(nomyo.batch.run_async(source, output, concurrency=2, **options))
        while not (output.exists() and output.stat().st_size):
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert 0 < len(rows_of(output)) < ROWS
    assert nomyo.batch.run(source, output, **options).left == 0
    assert outcomes(output) == EXPECTED


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0

    async def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(admission, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(admission, "asyncio", SimpleNamespace(Lock=asyncio.Lock, sleep=clock.sleep))
    return clock


def test_rate_is_even_after_a_pause_too(clock: Clock) -> None:
    left: list[float] = []

    async def ask(steady: OwnRate) -> None:
        await steady.acquire()
        left.append(clock.now)

    async def scene() -> None:
        steady = OwnRate(rate_per_s=2)
        await asyncio.gather(*(ask(steady) for _ in range(3)))
        await steady.note(RateLimitError("", retry_after="30"))
        await asyncio.gather(*(ask(steady) for _ in range(3)))

    asyncio.run(scene())
    assert left == [1000, 1000.5, 1001, 1031, 1031.5, 1032]


def test_pauses_grow_while_nothing_gets_better_and_begin_anew_later(clock: Clock) -> None:
    pauses: list[float] = []

    async def scene() -> None:
        steady = OwnRate()
        for calm_s in (0, 0, 0, 0, 0, 0, 0, 0, 100):
            clock.now += calm_s
            for _ in range(3):  # all that were under way fail
                await steady.note(RateLimitError(""))
            began = clock.now
            await steady.acquire()
            pauses.append(clock.now - began)

    asyncio.run(scene())
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 1]
