"""The figures of a run in a file: right while it runs and after kills, without content, never in the way of work."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from nomyo.batch import Budget, metrics_file
from nomyo.batch.metrics_file import MetricsFile
from support.batch_scene import (
    EXPECTED,
    ROWS,
    PromptNotingRouter,
    Told,
    batch,
    command,
    outcomes,
    request,
    runner,
    whole_rows,
    write_input,
)
from support.waiting import until

CANARY = "canary-0c7e"


@pytest.fixture
def metrics(tmp_path: Path) -> Path:
    return tmp_path / "figures.json"


def read(path: Path) -> dict[str, Any]:
    figures: dict[str, Any] = json.loads(path.read_bytes())
    return figures


def with_bad_rows(source: Path) -> None:
    rows: list[Any] = [request(number) for number in range(ROWS)]
    rows[3] = f'{{"{CANARY}'.encode()
    rows[5]["url"] = CANARY
    rows[7]["custom_id"] = CANARY
    rows[7]["body"]["messages"][0]["content"] = CANARY
    rows[9]["body"]["n"] = 100_000
    write_input(source, rows)


def test_figures_at_the_end(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path, metrics: Path
) -> None:
    with_bad_rows(source)
    run = runner(source, output, noting.url, key_directory, metrics_file=metrics)
    summary = run(budget=Budget(price_in=2, price_out=10))
    told = read(metrics)
    assert (told["nomyo_batch"], told["state"], told["limit"]) == (1, "done", None)
    assert (told["rows"], told["rows_done"], told["rows_failed"], told["rows_left"]) == (ROWS, ROWS, 3, 0)
    assert told["prompt_tokens"] == told["batch_prompt_tokens"] == summary.prompt_tokens > 0
    assert told["completion_tokens"] == told["batch_completion_tokens"] == summary.completion_tokens > 0
    assert (
        told["cost"]
        == summary.cost
        == pytest.approx((2 * summary.prompt_tokens + 10 * summary.completion_tokens) / 1e6)
    )
    assert told["rows_per_second"] > 0
    assert told["tokens_per_minute"] > 0
    assert told["seconds_left"] == 0
    assert told["errors"] == {"invalid_json": 1, "invalid_row": 1, "invalid_request_error": 1}
    assert stat.S_IMODE(metrics.stat().st_mode) == 0o600
    assert CANARY not in metrics.read_text()
    assert [each.name for each in metrics.parent.iterdir() if "nomyo-new" in each.name] == []


def test_prometheus_gets_text(noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path) -> None:
    with_bad_rows(source)
    file = output.with_name("batch.prom")
    file.touch(mode=0o644)
    runner(source, output, noting.url, key_directory, metrics_file=file)()
    text = file.read_text()
    comment, labels = r"# (HELP|TYPE) nomyo_batch_[a-z_]+ .+", r'({code="[a-z_]+"})?'
    sample = re.compile(rf"{comment}|nomyo_batch_[a-z_]+{labels} [0-9.e+-]+")
    assert all(sample.fullmatch(line) for line in text.splitlines()), text
    assert f"\nnomyo_batch_rows_done {ROWS}\n" in text
    assert '\nnomyo_batch_errors{code="invalid_row"} 1\n' in text
    assert "\nnomyo_batch_running 0\n" in text
    assert "nomyo_batch_cost" not in text
    assert CANARY not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


@pytest.mark.slow("two starts of the command, one of which is killed")
def test_figures_are_there_while_it_runs_and_after_a_kill(source: Path, output: Path, metrics: Path) -> None:
    with PromptNotingRouter(delay_s=0.2) as router:
        options = ("--metrics-file", str(metrics), "--concurrency", "2")
        with subprocess.Popen(command(source, output, router.url, *options), stderr=subprocess.DEVNULL) as process:
            until(lambda: metrics.exists() and read(metrics)["rows_done"] > 0)
            running = read(metrics)
            process.kill()
        before = len(whole_rows(output))
        assert batch(source, output, router.url, *options).returncode == 0
    assert (running["state"], running["rows"]) == ("running", ROWS)
    assert running["seconds_left"] > 0
    assert before < ROWS
    told = read(metrics)
    assert (told["state"], told["rows_done"]) == ("done", ROWS)
    assert told["batch_prompt_tokens"] is None  # nobody asked to count earlier runs
    assert outcomes(output) == EXPECTED


def test_run_that_a_limit_ends_says_so(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path, metrics: Path
) -> None:
    budget = Budget(max_tokens=1100)
    runner(source, output, noting.url, key_directory, metrics_file=metrics, concurrency=1)(budget=Budget(max_tokens=20))
    told = read(metrics)
    assert (told["state"], told["limit"], told["rows_left"]) == ("stopped", "the budget of 20 tokens", ROWS)
    runner(source, output, noting.url, key_directory, metrics_file=metrics)(budget=budget)
    assert read(metrics)["state"] == "done"


def test_file_that_cannot_be_written_is_told_once_and_costs_nothing(
    source: Path, output: Path, key_directory: Path, metrics: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_file, "INTERVAL_S", 0.05)

    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28), "figures.json")

    monkeypatch.setattr(metrics_file, "created", full)
    told = Told()
    with PromptNotingRouter(delay_s=0.05) as router:
        runner(source, output, router.url, key_directory, metrics_file=metrics, concurrency=2)(progress=told)
    assert outcomes(output) == EXPECTED
    assert told.words == ["the batch goes on, but its metrics file cannot be written: No space left on device"]


@pytest.mark.parametrize("name", ["in.jsonl", "out.jsonl", "out.jsonl.batch", "link.json", ".", "other.txt", "no/such"])
def test_path_that_cannot_be_is_refused_before_anything_is_sent(
    name: str, noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path, tmp_path: Path
) -> None:
    (tmp_path / "other.txt").write_text("mine")
    (tmp_path / "link.json").symlink_to(source)
    before = source.read_bytes()
    with pytest.raises((ValueError, FileNotFoundError), match=r"metrics_file|No such file"):
        runner(source, output, noting.url, key_directory)(metrics_file=tmp_path / name)
    assert noting.prompts == []
    assert not output.exists()
    assert source.read_bytes() == before
    assert (tmp_path / "other.txt").read_text() == "mine"


def test_command_names_the_option(source: Path, output: Path) -> None:
    done = batch(source, output, "http://127.0.0.1:9", "--metrics-file", str(source))
    assert done.returncode == 2
    assert "--metrics-file must be a file of its own" in " ".join(done.stderr.split())


def test_device_is_refused(source: Path, output: Path) -> None:
    with pytest.raises(ValueError, match="must be a file, and /dev/null is none"):
        MetricsFile(Path("/dev/null"), [source], output)
