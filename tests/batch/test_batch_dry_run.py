"""What a dry run says of rates, prices, budgets and the deadline: tokens, money, time, and whether the limits hold."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from support.batch_scene import batch, request, write_input

AWAY = "http://127.0.0.1:9"
PROMPT = "prompt 1 é"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three rows of ten characters: one with room for 100 tokens of an answer, two that say nothing, and a bad one."""
    bounded = request(1)
    bounded["body"]["max_tokens"] = 100
    return write_input(tmp_path / "in.jsonl", [bounded, request(2), request(3), b"{"])


def dry(source: Path, *options: str) -> list[str]:
    done = batch(source, source.with_name("out.jsonl"), AWAY, "--dry-run", *options)
    assert (done.returncode, done.stderr) == (3, "")
    return done.stdout.splitlines()


def test_dry_run_shows_tokens_cost_and_time(source: Path) -> None:
    told = dry(source, "--token-rate", "1000", "--price-in", "10", "--price-out", "1000", "--rate", "2")
    assert told[0] == "4 rows, 1 of them bad; some 7 tokens of prompts"
    assert told[2:] == [
        "some 2,100 tokens of answers: the max_tokens of each row, or 1,000",
        "by the prices: some 2.10007",
        "at 2 requests a second: 2 s or more",
        "at 1,000 tokens a minute: some 126 s",
    ]


@pytest.mark.parametrize(
    ("options", "last"),
    [
        (["--budget-tokens", "2106"], "the budget of 2,106 tokens would end the batch before its last row"),
        (
            ["--budget-tokens", "2107"],
            "by this estimate, all rows fit within the budget",
        ),
        (
            ["--budget", "2.1", "--price-in", "10", "--price-out", "1000"],
            "the budget of 2.1 would end the batch before its last row",
        ),
        (
            ["--deadline", "2131-05-30T18:00", "--rate", "0.0001"],
            "by this estimate, all rows fit within the deadline",
        ),
    ],
)
def test_dry_run_tells_whether_the_limits_would_hold(options: list[str], last: str, source: Path) -> None:
    assert dry(source, *options)[-1] == last


def test_dry_run_tells_that_the_deadline_comes_too_early(source: Path) -> None:
    soon = (datetime.now(UTC) + timedelta(minutes=20)).isoformat()
    assert dry(source, "--deadline", soon, "--token-rate", "100")[-1] == (
        "the deadline would end the batch before its last row"
    )
    told: dict[str, Any] = json.loads("".join(dry(source, "--deadline", soon, "--token-rate", "100", "--json")))
    assert (told["exceeded"], told["seconds_at_token_rate"]) == (["the deadline"], 60 * 2107 / 100)
