"""Completions in a pipeline of Ray, and the rate that all of a cluster share."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import ray

import nomyo.batch.ray as cluster_batch
from cluster.one_machine import CLIENT, nomyo_batch
from nomyo.batch.governor import Limits
from nomyo.batch.governor.pauses import MAX_CREDIT
from nomyo.batch.ray.line_dataset import ROWS_PER_BLOCK
from nomyo.batch.ray.node_secrets import with_secrets
from nomyo.batch.ray.rate import ClusterGovernor, ClusterRate
from nomyo.errors import BatchError, RateLimitError
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import PromptNotingRouter, request, rows_of, write_input
from support.faults import Answer, FaultyRouter
from support.virtual_time import VirtualClock
from support.windows import check_every_window

# Ray's own and those of what it brings: of sockets that it leaves open, of what is to be deprecated.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("_cluster")]


def test_pipeline_of_json_gives_them_too(tmp_path: Path, router: PromptNotingRouter) -> None:
    """With nothing said of formats: blocks as Ray hands them out by default."""
    source = write_input(tmp_path / "in.jsonl", [request(number) for number in range(10)])
    options = {"base_url": router.url, **CLIENT}
    answers = ray.data.read_json(str(source), lines=True).map_batches(
        cluster_batch.SecureCompletions, concurrency=1, fn_constructor_kwargs=options
    )
    rows = answers.take_all()
    assert sorted(row["custom_id"] for row in rows) == sorted(f"row-{number}" for number in range(10))
    assert all(row["error"] is None for row in rows)


def test_pipeline_of_lines_gives_the_rows_of_a_batch(source: Path, tmp_path: Path, router: PromptNotingRouter) -> None:
    answers = cluster_batch.read_lines(source, rows_per_block=10).map_batches(
        cluster_batch.SecureCompletions,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(size=2),
        fn_constructor_kwargs={"base_url": router.url, **CLIENT},
    )
    alone = nomyo_batch(source, tmp_path / "alone.jsonl", router)
    rows = sorted(answers.take_all(), key=lambda row: int(row["id"].rpartition("_")[2]))
    assert [row["id"] for row in rows] == [row["id"] for row in rows_of(tmp_path / "alone.jsonl")]
    assert [row["error"] for row in rows] == [row["error"] for row in rows_of(tmp_path / "alone.jsonl")]
    assert sum(row["error"] is not None for row in rows) == alone.failed == 1
    assert json.loads(rows[0]["response"]["body"])["choices"][0]["message"]["content"] == "prompt 1 é"


def test_pipeline_of_lines_goes_on_after_rows_that_fail(tmp_path: Path, router: PromptNotingRouter) -> None:
    """With blocks as Ray hands them out by default, where the lines' numbers are of NumPy."""
    refused = request(3, body={"model": "m", "messages": "none"})
    source = write_input(tmp_path / "in.jsonl", [request(1), b"{", refused, request(4)])
    answers = cluster_batch.read_lines(source).map_batches(
        cluster_batch.SecureCompletions, concurrency=1, fn_constructor_kwargs={"base_url": router.url, **CLIENT}
    )
    rows = sorted(answers.take_all(), key=lambda row: str(row["id"]))
    assert [row["id"] for row in rows] == [f"batch_req_{line}" for line in (1, 2, 3, 4)]
    errors = [None if row["error"] is None else (row["error"]["code"], row["error"]["line"]) for row in rows]
    assert errors == [None, ("invalid_json", 2), ("invalid_request_error", 3), None]
    assert rows[2]["response"]["status_code"] == 400


def test_pipeline_has_blocks_that_are_cheap_to_send_again(source: Path) -> None:
    assert ROWS_PER_BLOCK < 1000
    assert cluster_batch.read_lines(source, rows_per_block=10).materialize().num_blocks() == 3


def _completions(url: str, **options: Any) -> cluster_batch.SecureCompletions:
    return cluster_batch.SecureCompletions(base_url=url, **{**CLIENT, **options})


def _answers(completions: cluster_batch.SecureCompletions, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    async def answers() -> list[dict[str, Any]]:
        try:
            block = await completions(pa.table({"text": [json.dumps(row) for row in rows]}))
            rows_there: list[dict[str, Any]] = block.to_pylist()
            return rows_there
        finally:
            await completions.aclose()

    return asyncio.run(answers())


def test_rows_of_a_block_come_in_its_order_and_so_many_at_once(router: PromptNotingRouter, tmp_path: Path) -> None:
    router.delay_s, router.most = 0.05, 0
    answers = _answers(_completions(router.url, requests_at_once=3), *map(request, range(9)))
    router.delay_s = 0.0
    assert [row["custom_id"] for row in answers] == [f"row-{number}" for number in range(9)]
    assert router.most == 3
    assert list(tmp_path.iterdir()) == []  # the working directory: no key pair is left on a node


def test_no_turn_is_taken_for_requests_that_cannot_leave_yet(
    router: PromptNotingRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = []

    async def acquire(_: object) -> None:
        turns.append(len(router.prompts))

    monkeypatch.setattr(ClusterRate, "acquire", acquire)
    router.prompts.clear()
    router.delay_s = 0.2
    _answers(_completions(router.url, requests_at_once=3), *map(request, range(9)))
    router.delay_s = 0.0
    assert max(taken - sent for taken, sent in enumerate(turns)) < 3


def test_block_raises_where_the_batch_has_to_stop() -> None:
    config = RouterConfig(key_bits=2048, api_keys=frozenset({"right"}))
    with RunningRouter(config) as router, pytest.raises(BatchError, match="HTTP 401"):
        _answers(_completions(router.url), request(1), request(2))
    with RunningRouter(RouterConfig(key_bits=2048)) as router, pytest.raises(BatchError, match="'absent'") as refused:
        _answers(_completions(router.url, attestation="require"), request(1))
    assert "prompt 1" not in str(refused.value)


def test_key_in_a_runtime_env_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    @ray.remote(runtime_env={"env_vars": {"NOMYO_API_KEY": "canary-0b7c"}})
    def use() -> str:
        try:
            with_secrets({}, None, None)
        except ValueError as error:
            return str(error)
        return ""

    words = ray.get(use.remote())
    assert "runtime_env" in words
    assert "canary" not in words


def test_cluster_keeps_one_rate_of_tokens_that_answers_correct() -> None:
    clock, limits = VirtualClock(), Limits(requests_per_s=0, tokens_per_min=600)

    async def main() -> list[float]:
        governor, went = ClusterGovernor(clock), []
        for used in (60, 0, 120, 0):
            _, charge = await governor.acquire_tokens(limits, 60)
            went.append(clock.seconds)
            await governor.used(limits, charge, used)
        return went

    # It does not know what was sent before, so the first waits a minute; then each waits for what the last one took.
    begin, *later = clock.run(main())
    assert begin >= 60
    assert [moment - begin for moment in later] == [6, 6, 18]


@pytest.mark.parametrize("limits", [Limits(requests_per_s=5), Limits(requests_per_s=5, burst_requests=10)])
def test_governor_that_died_and_knows_nothing_keeps_to_the_rate_all_the_same(limits: Limits) -> None:
    clock, went = VirtualClock(), []

    async def send() -> None:
        for _ in range(6):
            governor = ClusterGovernor(clock)  # as Ray makes it anew
            for _ in range(7):
                await governor.acquire(limits)
                went.append(clock.now_ns())

    clock.run(send())
    assert len(went) == 42
    check_every_window(went, limits)


def test_refusal_of_one_pauses_all_whatever_their_limits() -> None:
    clock = VirtualClock()

    async def pause() -> list[float]:
        governor = ClusterGovernor(clock)
        seconds = []
        await governor.acquire(Limits(requests_per_s=0))
        for status, retry_after in ((429, "7"), (503, None), (500, "30"), (500, None)):
            before = clock.seconds
            await governor.note(Limits(requests_per_s=0), status, retry_after)
            await governor.acquire(Limits(requests_per_s=10))
            seconds.append(clock.seconds - before)
        return seconds

    paused = clock.run(pause())
    assert paused[0] >= 7
    assert paused[1] >= 1800
    assert paused[2] >= 30
    assert paused[3] < 1


def test_answers_of_the_cluster_pay_for_a_refusal_and_are_told_until_they_change_nothing() -> None:
    async def ask() -> tuple[list[float], bool]:
        first, second = (ClusterRate("answered", Limits(requests_per_s=0)) for _ in range(2))
        await first.acquire()
        for _ in range(MAX_CREDIT):
            first.answered()
        await first.acquire()
        return [await second.note(RateLimitError("")) for _ in range(4)], first._settled

    pauses, settled = asyncio.run(ask())
    assert pauses[:3] == [0, 0, 0]
    assert 0 < pauses[3] <= 1
    assert settled


@pytest.mark.parametrize("rows", [3, 30])
def test_account_that_is_refused_ends_the_job_before_a_row_fails(rows: int, tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", map(request, range(rows)))
    with FaultyRouter() as faulty:
        faulty.always(Answer(403), 1000)
        options: dict[str, Any] = {
            "base_url": faulty.url,
            "allow_http": True,
            "key_size": 2048,
            "rows_per_part": 30,
            "actors": 1,
        }
        with pytest.raises(BatchError, match="HTTP 403"):
            cluster_batch.run(source, tmp_path / "out", **options)
        assert [path.stat().st_size for path in (tmp_path / "out").glob("*.jsonl")] == [0]
        faulty.reset()
        assert cluster_batch.run(source, tmp_path / "out", **options).failed == 0


def test_askers_share_one_governor_and_send_it_no_words() -> None:
    async def ask() -> float:
        first, second = (ClusterRate("shared", Limits(requests_per_s=0)) for _ in range(2))
        loop = asyncio.get_running_loop()
        await first.acquire()
        begin = loop.time()
        assert 1.4 < await first.note(RateLimitError("canary-words", retry_after="1.5")) <= 1.5
        await second.acquire()
        paused = loop.time() - begin
        ray.kill(second._governor)
        with pytest.raises(BatchError, match="cannot be asked"):
            await second.acquire()
        return paused

    assert asyncio.run(ask()) >= 1.5
