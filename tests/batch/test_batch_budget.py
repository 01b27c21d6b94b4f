"""A budget or a deadline ends a batch cleanly in its middle; nothing is lost, and a larger one goes on."""

from __future__ import annotations

import asyncio
import json
import math
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import nomyo.batch
from nomyo import BatchError
from nomyo._core import PrivateKey, write_key_directory
from nomyo.batch import Budget
from nomyo.batch.budget import Spending
from support.batch_scene import (
    EXPECTED,
    ROWS,
    PromptNotingRouter,
    batch,
    command,
    line_of,
    opened,
    outcomes,
    request,
    rows_of,
    runner,
    size_bytes,
    whole_rows,
    write_input,
)
from support.faults import Answer, FaultyRouter
from support.waiting import until

TAKEN = 6
"""Tokens of a row, prompt and answer, as the router counts them ("prompt 7 é", "prompt 12 é")."""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows = [request(number) for number in range(ROWS)]
    for row in rows:
        row["body"]["max_tokens"] = 4
    return write_input(tmp_path / "in.jsonl", rows)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write_key_directory(tmp_path / "archive", PrivateKey.generate(2048), None)
    return tmp_path / "archive"


def taken(output: Path) -> int:
    """Return the tokens that the rows of an unsealed output took."""
    usages = [row["response"]["body"]["usage"] for row in rows_of(output) if row["error"] is None]
    return sum(usage["prompt_tokens"] + usage["completion_tokens"] for usage in usages)


def in_the_middle(summary: nomyo.batch.Summary, output: Path, most: int) -> None:
    assert 0 < summary.left < ROWS
    assert summary.failed == 0
    assert summary.succeeded == len(rows_of(output))
    assert most - 3 * TAKEN <= taken(output) <= most


def test_budget_of_tokens_ends_the_batch_and_a_larger_one_goes_on(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path
) -> None:
    run = runner(source, output, noting.url, key_directory, concurrency=4)
    summary = run(budget=Budget(max_tokens=50))
    in_the_middle(summary, output, 50)
    assert summary.limit == "the budget of 50 tokens"
    again = run(budget=Budget(max_tokens=50))
    assert (again.succeeded, again.limit) == (summary.succeeded, summary.limit)
    in_the_middle(run(budget=Budget(max_tokens=100)), output, 100)
    last = run(budget=Budget(max_tokens=10_000))
    assert (last.succeeded, last.limit) == (ROWS, None)
    assert outcomes(output) == EXPECTED
    assert len(noting.prompts) == len(set(noting.prompts)) == ROWS  # none was sent twice


def test_budget_of_money_ends_the_batch(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path
) -> None:
    run = runner(source, output, noting.url, key_directory, concurrency=4)
    summary = run(budget=Budget(max_cost=0.000120, price_in=1, price_out=2.5))
    costs = [row["response"]["body"]["usage"] for row in rows_of(output)]
    cost = sum(each["prompt_tokens"] * 1 + each["completion_tokens"] * 2.5 for each in costs) / 1e6
    assert 0.00008 < cost <= 0.000120
    assert summary.limit == "the budget of 0.00012"
    assert run(budget=Budget(price_in=1, price_out=2.5)).succeeded == ROWS


@pytest.mark.slow("three starts of the command")
def test_command_says_so_and_has_an_exit_code_of_its_own(
    noting: PromptNotingRouter, source: Path, output: Path
) -> None:
    done = batch(source, output, noting.url, "--budget-tokens", "50")
    assert done.returncode == 4, done.stderr
    assert "ended by the budget of 50 tokens: the same command with a larger one goes on" in done.stderr
    assert "the next row would go beyond the budget of 50 tokens" in done.stderr
    done = batch(source, output, noting.url, "--budget-tokens", "50", "--json", "--quiet")
    assert (done.returncode, json.loads(done.stdout)["limit"]) == (4, "the budget of 50 tokens")
    assert batch(source, output, noting.url, "--budget=1", "--price-in=3", "--price-out=15").returncode == 0
    assert outcomes(output) == EXPECTED


@pytest.mark.slow("two starts of the command, one of which is killed")
def test_killed_batch_keeps_what_it_took_in_the_count(source: Path, output: Path) -> None:
    with PromptNotingRouter(delay_s=0.1) as router:
        options = ("--budget-tokens", "100", "--concurrency", "2")
        with subprocess.Popen(command(source, output, router.url, *options), stderr=subprocess.DEVNULL) as process:
            until(lambda: len(whole_rows(output)) >= 4)
            process.kill()
        before = len(whole_rows(output))
        done = batch(source, output, router.url, *options)
    assert done.returncode == 4, done.stderr
    assert before < len(rows_of(output)) < ROWS
    assert 100 - 3 * TAKEN <= taken(output) <= 100
    assert len({line_of(row) for row in rows_of(output)}) == len(rows_of(output))


def test_sealed_rows_show_their_tokens_for_a_budget(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path, archive: Path
) -> None:
    run = runner(source, output, noting.url, key_directory, encrypt_to=archive / "public_key.pem", concurrency=4)
    first = run(budget=Budget(max_tokens=50))
    assert 0 < first.succeeded < ROWS
    assert run(budget=Budget(max_tokens=50)).succeeded == first.succeeded
    shown = sum(sum(row["tokens"]) for row in rows_of(output))
    assert 50 - 3 * TAKEN <= shown <= 50
    assert (
        sum(
            sum(row["response"]["body"]["usage"][name] for name in ("prompt_tokens", "completion_tokens"))
            for row in opened(output, archive)
        )
        == shown
    )
    lines = output.read_bytes().splitlines(keepends=True)
    altered = lines[0].replace(b'"tokens":[', b'"tokens":[1')
    output.write_bytes(altered + b"".join(lines[1:]))
    with pytest.raises(BatchError, match="line 1 "):
        opened(output, archive)


def test_sealed_output_without_tokens_takes_no_budget_later(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path, archive: Path
) -> None:
    run = runner(source, output, noting.url, key_directory, encrypt_to=archive / "public_key.pem")
    run()
    assert all("tokens" not in row for row in rows_of(output))
    before = output.read_bytes()
    with pytest.raises(BatchError, match="begun without a budget"):
        run(budget=Budget(max_tokens=50))
    assert output.read_bytes() == before


def test_rows_that_fail_take_nothing(
    faulty_router: FaultyRouter, source: Path, output: Path, key_directory: Path
) -> None:
    faulty_router.always(Answer(400), ROWS)
    summary = runner(source, output, faulty_router.url, key_directory, concurrency=1)(budget=Budget(max_tokens=10))
    assert (summary.failed, summary.limit) == (ROWS, None)


def test_first_row_that_does_not_fit_is_not_sent(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path
) -> None:
    summary = runner(source, output, noting.url, key_directory)(budget=Budget(max_tokens=3))
    assert (summary.left, noting.prompts) == (ROWS, [])


def test_deadline_ends_the_batch(source: Path, output: Path, key_directory: Path) -> None:
    with PromptNotingRouter(delay_s=0.25) as router:
        run = runner(source, output, router.url, key_directory, concurrency=2)
        deadline = datetime.now(UTC) + timedelta(seconds=2)
        summary = run(budget=Budget(deadline=deadline))
        ended = datetime.now(UTC)
    assert summary.limit == "the deadline"
    assert 0 < summary.succeeded == len(rows_of(output)) == len(router.prompts) < ROWS
    assert ended < deadline + timedelta(seconds=1)
    with PromptNotingRouter() as router:
        assert runner(source, output, router.url, key_directory)().succeeded == ROWS


def test_deadline_ends_a_wait_for_the_rate(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path
) -> None:
    began = time.monotonic()
    budget = Budget(deadline=datetime.now(UTC) + timedelta(seconds=2))
    summary = runner(source, output, noting.url, key_directory)(rate=0.01, budget=budget)
    assert (summary.succeeded, summary.limit) == (1, "the deadline")
    assert time.monotonic() - began < 10


def test_rows_under_way_are_waited_for_before_a_row_is_judged_too_large() -> None:
    async def main() -> None:
        spending = Spending(Budget(max_tokens=10))
        expected = (4, 4)
        assert await spending.reserve(lambda: expected) == (4, 4)
        second = asyncio.create_task(spending.reserve(lambda: expected))
        await asyncio.sleep(0)
        assert not second.done()
        expected = (3, 4)  # what the first answer taught
        spending.release((4, 4), (1, 1))
        assert await second == (3, 4)
        spending.release((3, 4), (4, 4))
        assert await spending.reserve(lambda: (1, 0)) is None
        assert (spending.spent, spending.reached) == ((5, 5), "the budget of 10 tokens")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -5}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_cost": 0, "price_in": 1, "price_out": 1}, "max_cost"),
        ({"max_cost": -1, "price_in": 1, "price_out": 1}, "max_cost"),
        ({"max_cost": math.nan, "price_in": 1, "price_out": 1}, "max_cost"),
        ({"max_cost": math.inf, "price_in": 1, "price_out": 1}, "max_cost"),
        ({"max_cost": 1}, "max_cost needs price_in and price_out"),
        ({"price_in": 1}, "price_in and price_out go together"),
        ({"price_out": 1}, "price_in and price_out go together"),
        ({"price_in": -1, "price_out": 1}, "price_in"),
        ({"price_in": math.nan, "price_out": 1}, "price_in"),
        ({"price_in": 0, "price_out": 0}, "must not both be 0"),
        ({"deadline": "tomorrow"}, "deadline must be a datetime"),
    ],
)
def test_budget_that_makes_no_sense_is_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        Budget(**wrong)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--budget-tokens=0",), "--budget-tokens must"),
        (("--budget-tokens=nan",), "--budget-tokens"),
        (("--budget=nan", "--price-in=1", "--price-out=1"), "--budget must"),
        (("--budget=1",), "--budget needs --price-in and --price-out"),
        (("--price-in=1",), "--price-in and --price-out go together"),
        (("--deadline=2020-01-01T00:00",), "--deadline must lie in the future"),
        (("--deadline=soon",), "--deadline must be a date and a time"),
        (("--deadline=0001-01-01T00:00+14:00",), "--deadline must"),
    ],
)
def test_wrong_option_is_refused_before_anything_is_sent(
    options: tuple[str, ...], words: str, source: Path, output: Path
) -> None:
    done = batch(source, output, "http://127.0.0.1:9", *options)
    assert done.returncode == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert size_bytes(output) == 0


def test_deadline_in_the_past_is_refused(source: Path, output: Path) -> None:
    with pytest.raises(ValueError, match="deadline must lie in the future"):
        nomyo.batch.run(source, output, budget=Budget(deadline=datetime.now(UTC) - timedelta(seconds=1)))
    with pytest.raises(TypeError, match="budget must be"):
        nomyo.batch.run(source, output, budget=7)  # type: ignore[arg-type]
