"""What a job takes as a whole, whichever actor sends: budgets, the deadline, and the figures of the run."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import nomyo.batch
import nomyo.batch.ray as cluster_batch
from cluster.one_machine import CLIENT
from cluster.without_cluster import LocalHandle
from nomyo import _core
from nomyo.batch import Budget
from nomyo.batch.ray.rate import ClusterGovernor, ClusterRate
from nomyo.batch.ray.spending import SILENT_S, ClusterLedger, ClusterSpending
from nomyo.batch.report import report_on
from nomyo.errors import BatchError
from support.batch_scene import PromptNotingRouter, Told, request, write_input
from support.faults import FaultyRouter

pytestmark = pytest.mark.filterwarnings("ignore")  # Ray's own


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows: list[dict[str, Any] | bytes] = [request(number) for number in range(1, 26)]
    for row in rows:
        assert isinstance(row, dict)
        row["body"]["max_tokens"] = 4
    rows.insert(12, b"{")
    return write_input(tmp_path / "in.jsonl", rows)


def _run(source: Path, output: Path, router: PromptNotingRouter, **options: Any) -> nomyo.batch.Summary:
    own = {"base_url": router.url, "rows_per_part": 10, "actors": 1, "concurrency": 4, **CLIENT, **options}
    return cluster_batch.run(source, output, **own)


def _budget(**limits: Any) -> Budget:
    return Budget(price_in=1.0, price_out=2.0, **limits)


@pytest.fixture(autouse=True)
def _fresh(_without_cluster: None, router: PromptNotingRouter) -> None:
    router.prompts.clear()


@pytest.mark.parametrize("sealed", [False, True])
def test_budget_ends_a_job_over_all_its_runs_and_a_larger_one_goes_on(
    sealed: bool, source: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    options: dict[str, Any] = {}
    if sealed:
        _core.write_key_directory(tmp_path / "archive", _core.PrivateKey.generate(2048))
        options["encrypt_to"] = tmp_path / "archive" / "public_key.pem"
    whole = _run(source, tmp_path / "whole", router)
    tokens = whole.prompt_tokens + whole.completion_tokens
    told = Told()
    router.prompts.clear()
    first = _run(source, tmp_path / "out", router, budget=_budget(max_tokens=tokens // 2), progress=told, **options)
    assert first.limit == f"the budget of {tokens // 2} tokens"
    assert 0 < first.succeeded < 25
    assert first.prompt_tokens + first.completion_tokens <= tokens // 2
    assert [words for words in told.words if "no more rows begin" in words]
    assert not list((tmp_path / "out").glob("_SUCCESS"))
    sent = len(router.prompts)
    again = _run(source, tmp_path / "out", router, budget=_budget(max_tokens=tokens // 2), **options)
    assert again.done_before == first.succeeded + first.failed
    assert again.left > 0
    assert sent <= len(router.prompts) <= sent + 1  # the estimate may have been larger than the row
    last = _run(source, tmp_path / "out", router, budget=_budget(max_tokens=10 * tokens), **options)
    assert (last.succeeded, last.failed, last.left, last.limit) == (25, 1, 0, None)
    assert len(router.prompts) == 25
    assert last.cost == pytest.approx((whole.prompt_tokens + 2 * whole.completion_tokens) / 1e6)
    report = report_on(tmp_path / "out")
    assert report.cost(_budget()) == pytest.approx(last.cost)


def test_sealed_output_that_shows_no_tokens_cannot_go_on_with_a_budget(
    source: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    _core.write_key_directory(tmp_path / "archive", _core.PrivateKey.generate(2048))
    options: dict[str, Any] = {"encrypt_to": tmp_path / "archive" / "public_key.pem"}
    _run(source, tmp_path / "out", router, **options)
    with pytest.raises(BatchError, match="begun without a budget"):
        _run(source, tmp_path / "out", router, budget=_budget(max_tokens=10**6), **options)


def test_deadline_ends_a_job_and_the_same_call_goes_on(
    source: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    with pytest.raises(ValueError, match="deadline must lie in the future"):
        _run(source, tmp_path / "out", router, budget=Budget(deadline=datetime.now(UTC) - timedelta(seconds=1)))
    assert not (tmp_path / "out").exists()
    router.delay_s = 0.5
    try:
        deadline = datetime.now(UTC) + timedelta(seconds=3)
        first = _run(source, tmp_path / "out", router, budget=Budget(deadline=deadline), concurrency=1)
    finally:
        router.delay_s = 0.0
    assert first.limit == "the deadline"
    assert first.left > 0
    last = _run(source, tmp_path / "out", router)
    assert (last.succeeded, last.failed, last.done_before) == (25, 1, first.succeeded + first.failed)
    assert len(router.prompts) == 25


def test_figures_are_those_of_the_run(source: Path, tmp_path: Path, router: PromptNotingRouter) -> None:
    metrics = tmp_path / "metrics.json"
    summary = _run(source, tmp_path / "out", router, budget=_budget(), metrics_file=metrics)
    figures = json.loads(metrics.read_bytes())
    assert (figures["state"], figures["limit"]) == ("done", None)
    assert [figures[name] for name in ("rows", "rows_done", "rows_failed", "rows_left")] == [26, 26, 1, 0]
    assert figures["errors"] == {"invalid_json": 1}
    assert figures["prompt_tokens"] == figures["batch_prompt_tokens"] == summary.prompt_tokens > 0
    assert figures["cost"] == summary.cost
    assert [rows for _, rows in summary.reasons] == [1]
    assert b"prompt 1" not in metrics.read_bytes()


def test_failed_job_says_so_in_its_figures(
    source: Path, tmp_path: Path, router: PromptNotingRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise BatchError("stop")

    monkeypatch.setattr("nomyo.batch.ray.job.JobCounts.add", stop)
    metrics = tmp_path / "metrics.prom"
    with pytest.raises(BatchError, match="stop"):
        _run(source, tmp_path / "out", router, metrics_file=metrics)
    assert "nomyo_batch_running 0\n" in metrics.read_text()


def test_metrics_file_in_the_output_is_refused(source: Path, tmp_path: Path, router: PromptNotingRouter) -> None:
    with pytest.raises(ValueError, match="metrics_file must not lie in the output"):
        _run(source, tmp_path / "out", router, metrics_file=tmp_path / "out" / "metrics.json")
    assert not (tmp_path / "out").exists()


def test_actors_keep_to_the_rate_headers_of_answers(
    source: Path, tmp_path: Path, faulty_router: FaultyRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    governor = ClusterGovernor()
    monkeypatch.setattr("nomyo.batch.ray.completions.ClusterRate", ClusterRate)
    monkeypatch.setattr("nomyo.batch.ray.rate.governor_actor", lambda name: LocalHandle(governor))
    faulty_router.change = lambda body: body
    faulty_router.change_headers = {"x-ratelimit-limit-requests": "600"}
    began = time.monotonic()
    options: dict[str, Any] = {"base_url": faulty_router.url, "rows_per_part": 10, "concurrency": 1, **CLIENT}
    assert cluster_batch.run(source, tmp_path / "out", **options).succeeded == 25
    assert time.monotonic() - began >= 23 / 10
    [known] = [each._known for each in governor._governors.values()]
    assert known is not None
    assert "requests" in known.advice


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_senders_together_reserve_no_more_than_the_budget() -> None:
    async def check() -> None:
        budget = Budget(max_tokens=100)
        handle = LocalHandle(ClusterLedger(budget, (20, 20)))
        one, other = (ClusterSpending(budget, handle) for _ in range(2))
        assert await one.reserve(lambda: (20, 10)) == (20, 10)
        waiting = asyncio.ensure_future(other.reserve(lambda: (20, 30)))
        await asyncio.sleep(0.05)
        assert not waiting.done(), "it fits if the other one takes less"
        one.release((20, 10), (5, 5))
        assert await waiting == (20, 30)
        other.release((20, 30), (20, 30))
        assert await one.reserve(lambda: (1, 0)) is None
        assert one.reached == "the budget of 100 tokens"
        assert await handle.actor.total() == (45, 55)
        one.close()
        other.close()

    asyncio.run(check())


def test_what_a_silent_sender_had_reserved_counts_as_spent() -> None:
    async def check() -> None:
        clock = _Clock()
        ledger = ClusterLedger(Budget(max_tokens=100), (0, 0), clock)
        assert (await ledger.reserve("dead", (30, 30)))[0]
        clock.now = SILENT_S + 1
        assert await ledger.reserve("alive", (30, 30)) == (False, "the budget of 100 tokens", (30, 30))
        assert (await ledger.reserve("alive", (20, 20)))[0]
        await ledger.release("dead", (30, 30), (1, 1))  # it lives, and its row counts as it was reserved
        assert await ledger.total() == (30, 30)

    asyncio.run(check())


def test_reservation_of_a_cancelled_row_is_given_back() -> None:
    async def check() -> None:
        budget = Budget(max_tokens=100)
        handle = LocalHandle(ClusterLedger(budget, (0, 0)))
        spending = ClusterSpending(budget, handle)
        reserving = asyncio.ensure_future(spending.reserve(lambda: (50, 50)))
        while not handle.actor._senders:
            await asyncio.sleep(0)
        reserving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reserving
        await asyncio.sleep(0.05)
        assert await spending.reserve(lambda: (50, 50)) == (50, 50)
        spending.close()

    asyncio.run(check())
