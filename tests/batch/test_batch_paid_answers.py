"""An answer that came is in the output, whatever becomes of what keeps the books of requests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from nomyo import BatchError
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.governor import governor as governor_module
from nomyo.errors import NomyoError
from support.batch_scene import EXPECTED, outcomes, rows_of
from support.faults import FaultyRouter


class Forgetful:
    """A governor of a caller's own, which fails at each answer."""

    async def acquire(self) -> None:
        pass

    async def note(self, _: NomyoError) -> float:
        return 0.0

    def answered(self) -> None:
        raise ValueError("books")


def test_answer_is_kept_where_the_governor_cannot_hear_of_it(
    run: Any, faulty_router: FaultyRouter, output: Path
) -> None:
    with pytest.raises(BatchError, match="ValueError: the batch stopped, and the same command goes on with it"):
        run(governor=Forgetful())
    rows = rows_of(output)
    assert [row["error"] for row in rows] == [None] * len(faulty_router.posts)
    assert 1 <= len(rows) <= 8
    assert run().failed == 0
    assert outcomes(output) == EXPECTED


def test_answer_to_the_last_row_ends_the_batch_well(run: Any, source: Path, output: Path) -> None:
    source.write_bytes(source.read_bytes().splitlines(keepends=True)[0])
    assert run(governor=Forgetful()).succeeded == 1
    assert outcomes(output) == EXPECTED[:1]


@pytest.fixture
def books(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Books that may be done without."""
    monkeypatch.delenv("NOMYO_RATE_DIR")
    monkeypatch.setattr(governor_module, "default_directory", lambda: tmp_path / "books")
    return tmp_path / "books"


def _fail(*_: Any, **__: Any) -> Any:
    raise OSError(28, "No space left on device", "books")


def test_answer_within_a_turn_is_kept_where_warnings_are_errors(books: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request that has to wait for the books is told of them, and the next goes on without."""

    async def scene() -> list[str]:
        governor, came = Governor.shared(Limits(requests_per_s=0), "http://127.0.0.1:1", "key"), []
        async with governor.turn():
            monkeypatch.setattr(governor_module.SharedFile, "locked", _fail)  # type: ignore[attr-defined]
            came.append("answer")
        with pytest.raises(UserWarning, match="rates are kept in this process alone"):
            await governor.acquire()
        async with governor.turn():
            came.append("answer")
        return came

    assert asyncio.run(scene()) == ["answer", "answer"]
    assert books.is_dir()


def test_request_that_is_cancelled_stays_cancelled_where_the_books_fail(
    books: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene() -> None:
        governor = Governor.shared(Limits(requests_per_s=0.01), "http://127.0.0.1:1", "key")
        await governor.acquire()
        waiting = asyncio.create_task(governor.acquire())
        await asyncio.sleep(0.05)
        monkeypatch.setattr(governor_module.SharedFile, "locked", _fail)  # type: ignore[attr-defined]
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(scene())
    assert books.is_dir()
