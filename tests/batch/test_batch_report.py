"""`nomyo batch report` tells from the output alone what became of a batch, without content."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nomyo._core import PrivateKey, write_key_directory
from nomyo.batch import Budget
from nomyo.batch.report import report_on
from support.batch_scene import ROWS, PromptNotingRouter, batch, request, rows_of, runner, write_input

CANARY = "canary-5d20"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows: list[Any] = [request(f"{CANARY} {number}") for number in range(ROWS)]
    rows[3] = f'{{"{CANARY}'.encode()
    rows[5]["body"]["n"] = 100_000
    return write_input(tmp_path / "in.jsonl", rows)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_key_directory(tmp_path / "archive", PrivateKey.generate(2048), None)
    return tmp_path / "archive"


def report(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "nomyo", "batch", "report", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def figures(*arguments: object) -> dict[str, Any]:
    done = report(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.slow("three starts of the command")
def test_report_has_the_figures_and_no_content(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path
) -> None:
    summary = runner(source, output, noting.url, key_directory)()
    told = figures(output, "--price-in=2", "--price-out=10")
    assert told == {
        "rows": ROWS, "answered": ROWS - 2, "failed": 2, "damaged": 0, "torn": False,
        "prompt_tokens": summary.prompt_tokens, "completion_tokens": summary.completion_tokens,
        "rows_without_tokens": 0, "errors": {"invalid_json": 1, "invalid_request_error": 1},
        "cost": pytest.approx((2 * summary.prompt_tokens + 10 * summary.completion_tokens) / 1e6),
    }  # fmt: skip
    shown = report(output)
    assert [line.split() for line in shown.stdout.splitlines()] == [
        ["rows", str(ROWS)],
        ["answered", str(ROWS - 2)],
        ["failed", "2"],
        ["invalid_json", "1"],
        ["invalid_request_error", "1"],
        ["tokens", "in", f"{summary.prompt_tokens:,}"],
        ["tokens", "out", f"{summary.completion_tokens:,}"],
    ]
    assert len({len(line) for line in shown.stdout.splitlines()}) == 1
    assert CANARY not in shown.stdout + json.dumps(told)
    assert figures(output)["cost"] is None


def test_batch_itself_ends_with_a_table(noting: PromptNotingRouter, source: Path, output: Path) -> None:
    done = batch(source, output, noting.url, "--price-in=2", "--price-out=10", "--quiet")
    names = [line.removeprefix("nomyo batch:   ")[:16].strip() for line in done.stderr.splitlines() if ":   " in line]
    assert names[:5] == ["tokens in", "tokens out", "cost of all runs", "time", "rows/s"]


def test_sealed_output_shows_what_is_visible(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path, archive: Path
) -> None:
    run = runner(source, output, noting.url, key_directory, encrypt_to=archive / "public_key.pem")
    run()
    found = report_on(output)
    assert (found.rows, found.failed, found.tokens.hidden) == (ROWS, 2, ROWS - 2)
    assert found.errors == {"sealed": 2}
    assert found.cost(Budget(price_in=1, price_out=1)) is None


def test_sealed_output_of_a_budget_shows_its_tokens(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path, archive: Path
) -> None:
    run = runner(source, output, noting.url, key_directory, encrypt_to=archive / "public_key.pem")
    summary = run(budget=Budget(max_tokens=10**6))
    found = report_on(output)
    assert found.tokens.total == (summary.prompt_tokens, summary.completion_tokens)
    assert found.tokens.hidden == 0


def test_torn_and_damaged_lines_and_foreign_codes(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    good = b'{"id":"batch_req_1","custom_id":"a","response":{"body":{"usage":{"prompt_tokens":7}}},"error":null}\n'
    error = b'{"id":"batch_req_2","custom_id":"a","response":null,"error":{"code":"Canary prompt!","message":"m"}}\n'
    output.write_bytes(good + error + b"what is this\n" + b'{"id":"batch_req_3","custom_id":"')
    found = report_on(output)
    assert (found.rows, found.failed, found.damaged, found.torn) == (2, 1, 1, True)
    assert found.tokens.total == (7, 0)
    assert found.errors == {"other": 1}


def test_folder_of_parts_and_journal_of_a_table_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = b'{"id":"batch_req_1","custom_id":"a","response":{"body":{"usage":{"prompt_tokens":7}}},"error":null}\n'
    for name in ("part-1.jsonl", "unfinished-2.jsonl", "batch.json"):
        (tmp_path / name).write_bytes(good)
    assert report_on(tmp_path).rows == 2
    monkeypatch.chdir(tmp_path)
    assert report_on(Path(".")).rows == 2, "a folder whose path has no name"
    (tmp_path / "out.parquet").write_bytes(b"PAR1")
    (tmp_path / "out.parquet.journal").write_bytes(good)
    assert report_on(tmp_path / "out.parquet").rows == 1


def test_router_without_usage_is_counted_by_the_length_of_answers(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    output.write_bytes(b'{"id":"batch_req_1","custom_id":"a","response":{"body":{"usage":null}},"error":null}\n')
    assert report_on(output).tokens.total == (0, len(output.read_bytes()) // 4)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("missing.jsonl",), 1, "No such file"),
        (("other.txt",), 1, "holds no row of a batch"),
        (("/dev/zero",), 2, "is a device"),
        (("other.txt", "--price-in=1"), 2, "--price-in and --price-out go together"),
        (("other.txt", "--price-in=-1", "--price-out=1"), 2, "--price-in must"),
    ],
)
def test_what_is_no_output_is_refused(arguments: tuple[str, ...], code: int, words: str, tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text(f"{CANARY}\n")
    done = report(tmp_path / arguments[0], *arguments[1:])
    assert done.returncode == code
    assert words in " ".join(done.stderr.split())
    assert CANARY not in done.stderr.replace(str(tmp_path), "")


def test_rows_of_a_running_batch_are_read(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path
) -> None:
    runner(source, output, noting.url, key_directory, concurrency=1)(budget=Budget(max_tokens=1200))
    assert report_on(output).rows == len(rows_of(output))
