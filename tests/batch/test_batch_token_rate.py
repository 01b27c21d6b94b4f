"""A batch under a rate of tokens: several real processes with one key keep it together, and learn from `usage`."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nomyo.batch.token_estimate import FIRST_ANSWER_TOKENS, TokenEstimate
from support.batch_scene import PromptNotingRouter, batch, outcomes, request, runner, write_input

ROWS = 8
RATE = 6000
PROCESSES = 3


class TimingRouter(PromptNotingRouter):
    """Notes when each prompt came, too."""

    def __init__(self) -> None:
        super().__init__()
        self.moments: list[float] = []
        model: Any = self._running.router._model
        complete = model.complete

        async def timed(asked: Any) -> dict[str, Any]:
            self.moments.append(time.monotonic())
            answer: dict[str, Any] = await complete(asked)
            return answer

        model.complete = timed


def rows(number: int, first: str) -> list[dict[str, Any]]:
    """Return rows whose answers repeat 80 characters: some 20 tokens of prompt and 20 of answer."""
    made = [request(f"{first}-{row}".ljust(72)) for row in range(number)]
    for each in made:
        each["body"]["max_tokens"] = 22
    return made


@pytest.mark.slow("starts three processes")
def test_processes_of_one_key_keep_the_rate_of_tokens_in_sum(tmp_path: Path) -> None:
    with TimingRouter() as router, ThreadPoolExecutor(PROCESSES) as threads:

        def one(number: int) -> Any:
            source = write_input(tmp_path / f"{number}.jsonl", rows(ROWS, str(number)))
            options = ("--token-rate", str(RATE), "--concurrency", "4")
            shared = {"NOMYO_RATE_DIR": str(tmp_path / "books"), "NOMYO_API_KEY": "one-key"}
            return batch(source, tmp_path / f"{number}-out.jsonl", router.url, *options, **shared)

        done = list(threads.map(one, range(PROCESSES)))
    assert [each.returncode for each in done] == [0] * PROCESSES, done
    took, moments = 40, sorted(router.moments)
    assert len(moments) == PROCESSES * ROWS
    # Requests are spread: any stretch of them lasts as long as the tokens of all but the last take at the rate. The
    # answers come sooner than the rate lets requests go, so a request is paid for with what it took.
    for first in range(len(moments)):
        for last in range(first + 1, len(moments)):
            at_least_s = (last - first) * took * 60 / RATE
            assert moments[last] - moments[first] >= at_least_s * 0.9 - 0.3


def test_rate_of_tokens_holds_rows_back(tmp_path: Path, key_directory: Path) -> None:
    source, output = write_input(tmp_path / "in.jsonl", rows(4, "x")), tmp_path / "out.jsonl"
    with PromptNotingRouter() as router:
        began = time.monotonic()
        summary = runner(source, output, router.url, key_directory)(token_rate=2400)
    assert summary.succeeded == len(outcomes(output)) == 4
    assert time.monotonic() - began >= 3 * 1.0 * 0.95  # 40 tokens a row, 40 tokens a second


@pytest.mark.parametrize(
    ("bounds", "answer"),
    [
        ({}, FIRST_ANSWER_TOKENS),
        ({"max_tokens": 50}, 50),
        ({"max_tokens": 50, "max_completion_tokens": 40, "n": 2}, 80),
        ({"max_tokens": "50"}, FIRST_ANSWER_TOKENS),
        ({"max_tokens": -1}, FIRST_ANSWER_TOKENS),
    ],
)
def test_first_estimate(bounds: dict[str, Any], answer: int) -> None:
    body = {"messages": [{"role": "user", "content": "x" * 400}], **bounds}
    assert TokenEstimate().of(body) == (101, answer)


def test_estimate_follows_the_largest_usage_of_late() -> None:
    body = {"messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 400}]}]}
    estimate = TokenEstimate()
    estimate.learn(body, 200, 10)
    assert estimate.of(body) == (201, 11)
    estimate.learn(body, 200, 300)
    estimate.learn(body, 0, 0)  # no usage
    assert estimate.of(body) == (201, 301)
    for _ in range(100):
        estimate.learn(body, 100, 20)
    assert 100 <= estimate.of(body)[0] <= 103
    assert 20 <= estimate.of(body)[1] <= 23
    assert estimate.of({**body, "max_tokens": 5})[1] == 5


@pytest.mark.parametrize("wrong", ["0", "-1", "nan", "many", "1.5", "99999999999"])
def test_rate_that_makes_no_sense_is_refused_before_anything_is_sent(wrong: str, tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", rows(1, "x"))
    done = batch(source, tmp_path / "out.jsonl", "http://127.0.0.1:9", f"--token-rate={wrong}")
    assert done.returncode == 2
    assert "--token-rate" in done.stderr
    assert not (tmp_path / "out.jsonl").exists()
