"""Why rows failed: counted in our own words, and told at the end of `nomyo batch` with what can be done."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nomyo.batch import Summary, admission
from nomyo.batch.admission import describe_next_try
from nomyo.batch.records import BadRow
from nomyo.batch.verdict import Reasons
from nomyo.cli.batch.outcome import failure_lines
from nomyo.errors import (
    APIConnectionError,
    APIError,
    InvalidRequestError,
    RateLimitError,
    SecurityError,
    ServiceUnavailableError,
)
from support.batch_scene import PromptNotingRouter, command, request, write_input
from support.faults import Answer

CANARY = "words of the router that quote the prompt"
TOO_LARGE = "here the payload grows beyond 10485760 bytes of JSON"
OF_AN_OUTPUT = ("to send them again: the same command with --retry-errors (bad rows fail each time)",)


def counted(errors: Iterable[Exception]) -> list[tuple[str, int]]:
    reasons = Reasons()
    for error in errors:
        reasons.add(error)
    return list(reasons.most_frequent_first())


def lines(
    failed: int, reasons: Iterable[tuple[str, int]], output: str = "out.jsonl", sealed: bool = False
) -> list[str]:
    summary = Summary(failed, 0, failed, 0, 0, 0, reasons=tuple(reasons))
    return list(failure_lines(summary, Path(output), sealed=sealed))


def test_rows_that_failed_for_one_reason_are_counted_together_without_content() -> None:
    errors: list[Exception] = [
        BadRow(1, "invalid_json", "the line is not JSON: character 7"),
        BadRow(2, "invalid_json", "the line is not JSON: character 12"),
        InvalidRequestError(CANARY, 400),
        APIError(CANARY + "1", 500),
        APIError(CANARY + "2", 500),
        APIError(CANARY + "3", 500),
        APIConnectionError("no answer from somewhere", timed_out=True, sent=True),
        APIConnectionError("no answer from somewhere", sent=True),
        SecurityError("the package cannot be opened"),
        ValueError(f"messages[0].content: {TOO_LARGE}"),
        ValueError(f"messages[1].{CANARY}: {TOO_LARGE}"),
        ValueError(f"invalid literal for int() with base 10: '{CANARY}'"),
        TypeError(f"unhashable: {CANARY}"),
        UnicodeDecodeError("utf-8", CANARY.encode(), 0, 1, CANARY),
    ]
    assert counted(errors) == [
        ("the router answered with HTTP 500", 3),
        ("the line is not JSON", 2),
        (TOO_LARGE, 2),
        ("the router answered with HTTP 400", 1),
        ("no answer in time", 1),
        ("the connection was lost", 1),
        ("the package cannot be opened", 1),
        ("ValueError: see the row", 1),
        ("TypeError: see the row", 1),
        ("UnicodeDecodeError", 1),
    ]


def test_reasons_of_which_each_row_has_its_own_take_bounded_memory() -> None:
    found = dict(counted(SecurityError(f"reason {number}") for number in range(5000)))
    assert (len(found), found["other reasons"]) == (1001, 4000)


def test_row_that_the_core_does_not_seal_is_counted_in_its_words(run: Any, source: Path) -> None:
    deep: list[Any] = []
    for _ in range(205):
        deep = [deep]
    body = {"model": "m", "messages": []}
    large = {**body, "name": "x" * (10 * 1024 * 1024)}
    write_input(source, [request(1, body=large), request(2, body={**body, "name": deep})])
    assert sorted(run().reasons) == [(TOO_LARGE, 1), ("nested more than 200 deep", 1)]


def test_end_names_the_three_most_frequent_reasons_and_what_can_be_done() -> None:
    reasons = [("a", 1200), ("b", 5), ("c", 2), ("d", 1)]
    assert lines(1210, reasons) == [
        "  1,200 failed: a",
        "  5 failed: b",
        "  2 failed: c",
        "  3 failed for other reasons, or in an earlier run",
        """these rows: grep -v '"error":null}$' out.jsonl""",
        *OF_AN_OUTPUT,
    ]
    assert lines(1208, reasons)[2:4] == ["  2 failed: c", "  1 failed for other reasons, or in an earlier run"]
    assert lines(2, [])[0] == "  2 failed in an earlier run"
    assert lines(0, []) == []


def test_rows_of_a_sealed_output_are_shown_by_its_key() -> None:
    told = lines(1, [("a", 1)], "my out", sealed=True)
    assert told[1] == """these rows: nomyo batch open 'my out' --key-dir DIR | grep -v '"error":null}$'"""


@pytest.mark.parametrize("sealed", [False, True])
def test_name_that_begins_like_an_option_is_shown_as_a_path(sealed: bool) -> None:
    assert " ./-x.jsonl" in lines(1, [], "-x.jsonl", sealed=sealed)[1]


@pytest.mark.parametrize("name", ["out.jsonl", "-x.jsonl"])
def test_command_that_is_named_shows_the_failed_rows_and_no_others(
    name: str, run: Any, source: Path, output: Path, faulty_router: Any
) -> None:
    write_input(source, [b"{", request(1), request(2)])
    faulty_router.answers.append(Answer(400))
    summary = run(concurrency=1)
    assert sorted(summary.reasons) == [("the line is not JSON", 1), ("the router answered with HTTP 400", 1)]
    output.rename(output.with_name(name))
    named = next(line for line in failure_lines(summary, Path(name), sealed=False) if line.startswith("these rows: "))
    shown = subprocess.run(
        ["sh", "-c", named.partition(": ")[2]], cwd=output.parent, capture_output=True, timeout=60, check=True
    ).stdout
    assert [json.loads(row)["id"] for row in shown.splitlines()] == ["batch_req_1", "batch_req_2"]


@pytest.mark.parametrize("name", ["out.parquet", "out.jsonl", "-"])
def test_failed_rows_of_a_table_are_shown_from_its_journal(
    name: str, noting: PromptNotingRouter, key_directory: Path, tmp_path: Path
) -> None:
    """Also if the output is JSON lines: there the columns of the input may be called as those of a row."""
    (tmp_path / "in.csv").write_text("q,error\na,null}\n,x\nb,y\n")
    table = ["--prompt-column", "q", "--model", "m", "--columns", "q,why=answer.error", "--key-dir", str(key_directory)]
    journal = f"{name}.journal" if name != "-" else "my journal"
    own = ["--journal", journal] if name == "-" else []
    words = command(Path("in.csv"), Path(name), noting.url, *table, *own)
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3, done.stderr
    told = next(line for line in done.stderr.splitlines() if "these rows: " in line).partition("these rows: ")[2]
    assert told.endswith(f" {shlex.quote(journal)}")
    shown = subprocess.run(["sh", "-c", told], cwd=tmp_path, capture_output=True, timeout=60, check=True).stdout
    assert [json.loads(row)["custom_id"] for row in shown.splitlines()] == ["in.csv:2"]


@pytest.mark.parametrize("pause_s", [1.0, 30.0, 86_400.0])
def test_moment_of_the_next_try_is_told_by_the_clock(pause_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    at_22_13_20 = SimpleNamespace(time=lambda: 1_700_000_000.0, localtime=time.gmtime, strftime=time.strftime)
    monkeypatch.setattr(admission, "time", at_22_13_20)
    told = f"; next try at {'2023-11-15 ' if pause_s > 7200 else ''}22:13:{20 + pause_s % 60:02.0f}"
    backing_off = told + ", further ones at most 60 s apart"
    assert describe_next_try(ServiceUnavailableError(""), pause_s) == told
    assert describe_next_try(RateLimitError("", retry_after="7"), pause_s) == told
    assert describe_next_try(RateLimitError(""), pause_s) == backing_off
    assert describe_next_try(APIConnectionError("away"), pause_s) == backing_off
    assert describe_next_try(APIConnectionError("away"), 0) == ""
