"""A batch over a cluster of one node, in the process that measures coverage: with the Python of `.venv-ray`."""

from __future__ import annotations

import asyncio
import io
import json
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import nomyo.batch
import nomyo.batch.ray as cluster_batch
from cluster.one_machine import CLIENT, nomyo_batch
from nomyo import _core
from nomyo.batch import Budget
from nomyo.batch.governor import Limits
from nomyo.batch.ray.completions import Options
from nomyo.batch.ray.part_sender import PartSender
from nomyo.batch.ray.part_source import LineSource
from nomyo.batch.ray.parts import Part, cut
from nomyo.batch.summary import Summary
from nomyo.errors import BatchError
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import PromptNotingRouter, outcome, outcomes, request, rows_of, write_input

# Ray's own and those of what it brings: of sockets that it leaves open, of what is to be deprecated.
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.usefixtures("_cluster")]


def _run(source: Path, output: Path, router: PromptNotingRouter | RunningRouter, **options: Any) -> Summary:
    return cluster_batch.run(
        source, output, **{"base_url": router.url, "rows_per_part": 10, "actors": 1, **CLIENT, **options}
    )


def _joined(output: Path, joined: Path) -> Path:
    joined.write_bytes(b"".join(path.read_bytes() for path in sorted(output.glob("part-*.jsonl"))))
    return joined


def test_output_is_that_of_a_batch_on_one_machine(source: Path, tmp_path: Path, router: PromptNotingRouter) -> None:
    words = io.StringIO()
    summary = _run(source, tmp_path / "out", router, progress=nomyo.batch.PlainProgress(words, "job", interval_s=3600))
    alone = nomyo_batch(source, tmp_path / "alone.jsonl", router)
    tokens = summary.prompt_tokens + summary.completion_tokens
    first, last = words.getvalue().splitlines()
    assert first == "job: 26 rows"
    assert last.startswith("job: 26 of 26 rows (100.0 %), 1 error, ")
    assert f"{tokens:,} tokens" in last
    assert (summary.rows, summary.succeeded, summary.failed, summary.left) == (26, 25, 1, 0)
    assert (summary.prompt_tokens, summary.completion_tokens) == (alone.prompt_tokens, alone.completion_tokens)
    joined = _joined(tmp_path / "out", tmp_path / "joined.jsonl")
    assert outcomes(joined) == outcomes(tmp_path / "alone.jsonl")
    assert [row["id"] for row in rows_of(joined)] == [row["id"] for row in rows_of(tmp_path / "alone.jsonl")]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "batch.json",
        "part-000000000001.jsonl",
        "part-000000000011.jsonl",
        "part-000000000022.jsonl",
    ]


def test_second_call_sends_what_is_missing_and_nothing_else(
    source: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    _run(source, tmp_path / "out", router)
    (tmp_path / "out" / "part-000000000011.jsonl").unlink()
    router.prompts.clear()
    words = io.StringIO()
    summary = _run(source, tmp_path / "out", router, progress=nomyo.batch.PlainProgress(words, "job", interval_s=3600))
    assert (summary.succeeded, summary.failed, summary.done_before) == (25, 1, 16)
    assert words.getvalue().startswith("job: 26 rows, 16 of them done before\njob: 26 of 26 rows")
    assert len(router.prompts) == 9  # and a bad row
    router.prompts.clear()
    assert _run(source, tmp_path / "out", router).done_before == 26
    assert router.prompts == []


def test_rows_of_a_damaged_part_are_sent_again(source: Path, tmp_path: Path, router: PromptNotingRouter) -> None:
    _run(source, tmp_path / "out", router)
    part = tmp_path / "out" / "part-000000000001.jsonl"
    whole = part.read_bytes()
    rows = whole.splitlines(keepends=True)
    part.write_bytes(b"".join([*rows[:4], rows[4][:-9] + b"\n", *rows[5:8]]))
    router.prompts.clear()
    summary = _run(source, tmp_path / "out", router)
    assert sorted(router.prompts) == ["prompt 10 é", "prompt 5 é", "prompt 9 é"]
    assert (summary.rows, summary.succeeded, summary.failed) == (26, 25, 1)
    assert [row["id"] for row in rows_of(part)] == [json.loads(row)["id"] for row in rows]


def test_rows_that_failed_are_done_once_more_on_demand(
    source: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    _run(source, tmp_path / "out", router)
    part = tmp_path / "out" / "part-000000000001.jsonl"
    rows = rows_of(part)
    rows[3]["error"] = {"code": "server_error", "message": "", "line": 4}
    part.write_bytes(b"".join(json.dumps(row, separators=(",", ":")).encode() + b"\n" for row in rows))
    router.prompts.clear()
    summary = _run(source, tmp_path / "out", router, retry_errors=True)
    assert router.prompts == ["prompt 4 é"]
    assert (summary.succeeded, summary.failed, summary.done_before) == (25, 1, 24)


def test_actors_keep_one_budget_together(tmp_path: Path, router: PromptNotingRouter) -> None:
    rows = [request(number) for number in range(24)]
    for row in rows:
        row["body"]["max_tokens"] = 4
    source = write_input(tmp_path / "in.jsonl", rows)
    options: dict[str, Any] = {"actors": 2, "rows_per_part": 6, "concurrency": 2}
    metrics = tmp_path / "metrics.json"
    first = _run(source, tmp_path / "out", router, budget=Budget(max_tokens=80), metrics_file=metrics, **options)
    assert first.limit == "the budget of 80 tokens"
    assert 80 - 3 * 10 <= first.prompt_tokens + first.completion_tokens <= 80
    figures = json.loads(metrics.read_bytes())
    assert (figures["state"], figures["rows_done"]) == ("stopped", first.succeeded)
    assert figures["batch_prompt_tokens"] == first.prompt_tokens
    last = _run(source, tmp_path / "out", router, budget=Budget(max_tokens=10_000), **options)
    assert (last.succeeded, last.done_before, last.limit) == (24, first.succeeded, None)


def test_another_input_is_refused(source: Path, tmp_path: Path, router: PromptNotingRouter) -> None:
    _run(source, tmp_path / "out", router)
    write_input(source, [request(1)])
    with pytest.raises(BatchError, match="not the one that out was begun with"):
        _run(source, tmp_path / "out", router)


def test_refused_api_key_ends_the_job_and_the_same_call_goes_on(source: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    with RunningRouter(RouterConfig(key_bits=2048, api_keys=frozenset({"right"}))) as router:
        key.write_text("wrong")
        with pytest.raises(BatchError, match="HTTP 401"):
            _run(source, tmp_path / "out", router, api_key_file=key)
        key.write_text("right\n")
        summary = _run(source, tmp_path / "out", router, api_key_file=key)
    assert (summary.succeeded, summary.failed) == (25, 1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"allow_http": False}, "plain HTTP"),
        ({"api_key_file": "/nowhere/key"}, "cannot be used on one of the nodes: No such file"),
        ({"server_key_fingerprint": "SHA256:" + "A" * 43}, "pin"),
        ({"timeout": -1.0}, "timeout"),
    ],
)
def test_what_no_actor_can_do_is_what_it_says(
    options: dict[str, Any], words: str, source: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    with source.open("rb") as file:
        _, parts = cut(file, 10)
    sender = _sender(source, tmp_path, router, **options)
    assert words in _do(sender, parts[0])[0]["failure"]


def test_job_that_had_to_stop_sends_no_more(
    source: Path, tmp_path: Path, router: PromptNotingRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise BatchError("stop")

    monkeypatch.setattr("nomyo.batch.ray.job.JobCounts.add", stop)
    router.prompts.clear()
    router.delay_s = 0.3
    with pytest.raises(BatchError, match="stop") as caught:
        _run(source, tmp_path / "out", router, rows_per_part=1, concurrency=1, actors=1)
    time.sleep(1)
    sent = len(router.prompts)
    time.sleep(1.5)
    router.delay_s = 0.0
    assert len(router.prompts) == sent < 20
    assert str(caught.value) == "stop"


@pytest.mark.parametrize(
    "wrong",
    [
        {"actors": 0},
        {"concurrency": 0},
        {"rows_per_part": True},
        {"cpus_per_actor": -1},
        {"patience": "1"},
        {"api_key": "canary-5d1e"},
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(
    wrong: dict[str, Any], source: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))) as caught:
        _run(source, tmp_path / "out", router, **wrong)
    assert "canary" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def _sender(
    source: Path, output: Path, router: PromptNotingRouter, *, api_key_file: str | None = None, **client: Any
) -> PartSender:
    options = Options(api_key_file=api_key_file, client_options={"base_url": router.url, **CLIENT, **client})
    return PartSender(LineSource(str(source)), str(output), options, False)


def _do(sender: PartSender, *parts: Part) -> list[dict[str, Any]]:
    async def do() -> list[dict[str, Any]]:
        block = pa.Table.from_pylist(
            [{name: getattr(part, name) for name in Part.__dataclass_fields__} for part in parts]
        )
        try:
            done: list[dict[str, Any]] = (await sender(block)).to_pylist()
            return done
        finally:
            await sender.aclose()

    return asyncio.run(do())


def test_part_that_is_done_is_not_sent_again_by_an_actor_that_takes_it_over(
    source: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    with source.open("rb") as file:
        _, parts = cut(file, 10)
    router.prompts.clear()
    first = _do(_sender(source, tmp_path, router), *parts)
    sent, before = len(router.prompts), (tmp_path / "part-000000000001.jsonl").stat()
    again = _do(_sender(source, tmp_path, router), *parts)
    assert (sent, len(router.prompts)) == (25, 25)
    assert [(each["rows"], each["failed"]) for each in first] == [(10, 0), (10, 1), (6, 0)]
    assert [each["rows"] for each in again] == [10, 10, 6]
    assert (tmp_path / "part-000000000001.jsonl").stat().st_ino == before.st_ino


def test_part_that_was_begun_is_finished_by_an_actor_that_takes_it_over(
    source: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    with source.open("rb") as file:
        _, parts = cut(file, 10)
    _do(_sender(source, tmp_path, router), parts[0])
    rows = (tmp_path / "part-000000000001.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "part-000000000001.jsonl").unlink()
    (tmp_path / "unfinished-000000000001.jsonl").write_bytes(b"".join(rows[:7]) + rows[7][:-9])
    router.prompts.clear()
    _do(_sender(source, tmp_path, router), parts[0])
    assert sorted(router.prompts) == ["prompt 10 é", "prompt 8 é", "prompt 9 é"]
    assert len(rows_of(tmp_path / "part-000000000001.jsonl")) == 10


def test_row_that_the_router_always_refuses_does_not_keep_a_job_from_its_end(tmp_path: Path) -> None:
    """The rows of many parts stop the job, the few that are left fail when patience is at its end."""
    source = write_input(tmp_path / "in.jsonl", [request(number) for number in range(3)])
    options: dict[str, Any] = {"patience": 6.0, "limits": Limits(requests_per_s=0, cool_down_s=1.0), "rows_per_part": 1}
    with PromptNotingRouter() as router:
        router.refused = {f"prompt {number} é" for number in range(3)}
        with pytest.raises(BatchError, match="HTTP 503"):
            _run(source, tmp_path / "out", router, **options)
        router.refused = {"prompt 1 é"}
        summary = _run(source, tmp_path / "out", router, **options, actors=2)
        assert (summary.succeeded, summary.failed) == (2, 1)
        router.refused = {f"prompt {number} é" for number in range(3)}
        with pytest.raises(BatchError, match="HTTP 503"):  # two rows were not begun, for want of a slot
            _run(source, tmp_path / "other", router, **{**options, "rows_per_part": 3}, concurrency=1)


def test_full_disk_is_told_by_its_reason(
    source: Path, tmp_path: Path, router: PromptNotingRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    with source.open("rb") as file:
        _, parts = cut(file, 10)

    async def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nomyo.batch.append_log.AppendLog.append", full)
    (done,) = _do(_sender(source, tmp_path, router), parts[0])
    assert done["failure"] == "a file cannot be used on one of the nodes: No space left on device"


def test_sealed_output_is_read_with_the_private_key_alone(
    source: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    archive = tmp_path / "archive"
    _core.write_key_directory(archive, _core.PrivateKey.generate(2048))
    options = {"encrypt_to": archive / "public_key.pem"}
    summary = _run(source, tmp_path / "out", router, **options)
    assert (summary.succeeded, summary.failed) == (25, 1)
    joined = _joined(tmp_path / "out", tmp_path / "joined.jsonl")
    assert b"prompt" not in joined.read_bytes()
    assert b"row-" not in joined.read_bytes()
    nomyo_batch(source, tmp_path / "alone.jsonl", router)
    rows = list(nomyo.batch.read(joined, key_dir=archive))
    assert [outcome(row) for row in rows] == outcomes(tmp_path / "alone.jsonl")

    (tmp_path / "out" / "part-000000000011.jsonl").unlink()
    with pytest.raises(BatchError, match="is sealed: it can only go on with"):
        _run(source, tmp_path / "out", router)
    assert _run(source, tmp_path / "out", router, **options).done_before == 16
    with pytest.raises(ValueError, match="a private key"):
        _run(source, tmp_path / "other", router, encrypt_to=archive / "private_key.pem")
    assert not (tmp_path / "other").exists()
