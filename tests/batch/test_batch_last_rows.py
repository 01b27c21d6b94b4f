"""The last rows of a batch: what the router dies of fails when patience ends, and nothing is held up by it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import nomyo
import nomyo.batch
from nomyo import BatchError
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.records import Row
from nomyo.batch.sender import Sender
from nomyo.errors import APIConnectionError, RateLimitError, ServiceUnavailableError
from nomyo.responses import ChatCompletionResponse
from support.batch_scene import (
    NO_COOL_DOWN,
    lives,
    rows_of,
)
from support.faults import PUBLIC_KEY, Answer, FaultyRouter, deaf_host


def test_router_that_takes_no_connection_is_away_and_no_row_fails(
    source: Path, output: Path, key_directory: Path
) -> None:
    """Its host does not answer at all: each attempt times out, and says nothing about the row."""
    with deaf_host() as url:
        options: dict[str, Any] = {"base_url": url, "allow_http": True, "key_dir": key_directory, "timeout": 0.2}
        words = (
            r"cannot be reached \(no answer from .*: timed out: no connection within 0\.2 s \(.*\)\): the batch stopped"
        )
        with pytest.raises(BatchError, match=words):
            nomyo.batch.run(source, output, max_retries=0, patience=1.5, **options)
    assert output.read_bytes() == b""


@pytest.fixture
def but_two(run: Any, output: Path) -> Any:
    """Go on with a batch that has all rows but the last two."""
    assert run(limits=NO_COOL_DOWN).failed == 0
    output.write_bytes(b"".join(output.read_bytes().splitlines(keepends=True)[:-2]))
    return partial(run, limits=NO_COOL_DOWN, patience=1.0)


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("concurrency", [2, 4])
def test_last_rows_that_the_router_dies_of_fail_when_patience_is_at_its_end(
    concurrency: int, but_two: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    """One after the other, for one may be lost with the other; all else would be a batch that never ends."""
    faulty_router.always(Answer(503), 1000)
    began = time.monotonic()
    assert but_two(concurrency=concurrency).failed == 2
    assert time.monotonic() - began >= 2 * (1.0 - 0.1)
    failed = [row["error"] for row in rows_of(output) if row["error"] is not None]
    assert [error["code"] for error in failed] == ["service_unavailable_error"] * 2


@pytest.mark.usefixtures("short_pauses")
@pytest.mark.parametrize("trouble", ["429", "no key", "rows are left", "too long a pause"])
def test_last_rows_wait_for_whatever_says_nothing_about_them(
    trouble: str, but_two: Any, faulty_router: FaultyRouter
) -> None:
    options: dict[str, Any] = {"concurrency": 1 if trouble == "rows are left" else 4}
    faulty_router.always(Answer(429 if trouble == "429" else 503), 1000)
    if trouble == "no key":
        faulty_router.by_path[PUBLIC_KEY] = deque([Answer(503)] * 1000)
    if trouble == "too long a pause":
        options["limits"] = Limits(requests_per_s=0, cool_down_s=2.0)
    with pytest.raises(BatchError, match="the batch stopped, and the same command goes on"):
        but_two(**options)
    faulty_router.reset()
    assert but_two().failed == 0


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        (ServiceUnavailableError(""), 5),
        (APIConnectionError("", sent=True), 5),
        (APIConnectionError("", sent=False), None),
        (RateLimitError(""), None),
    ],
    ids=["503", "lost", "away", "429"],
)
@pytest.mark.usefixtures("short_pauses")
def test_row_that_the_router_dies_of_fails_in_the_end_and_holds_nothing_up(
    fault: Exception, attempts: int | None
) -> None:
    """Others are answered meanwhile. What says nothing about a row never is its outcome."""
    tried = 0

    async def create(body: Any) -> ChatCompletionResponse:
        nonlocal tried
        await asyncio.sleep(0.01)
        if body["line"] == 7:
            tried += 1
            if attempts is not None or tried < 10:
                raise fault
        return ChatCompletionResponse()

    async def scene() -> Any:
        sends = Sender(create, Governor(NO_COOL_DOWN), lives, max_retries=0, patience_s=20, report=lambda _: None)
        one = asyncio.create_task(sends.send(Row(7, "x", {"line": 7})))
        while not one.done():
            await sends.send(Row(8, "y", {"line": 8}))
        return await asyncio.gather(one, return_exceptions=True)

    [outcome] = asyncio.run(scene())
    assert outcome == fault if attempts else isinstance(outcome, ChatCompletionResponse)
    assert tried == (attempts or 10)
