"""What tests of batches share: an input, its output, and a router that answers wrongly when told to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nomyo.batch.governor import pauses as pauses_module
from support import batch_scene
from support.batch_scene import ROWS, PromptNotingRouter, Runner, runner, write_input
from support.faults import FaultyRouter


@pytest.fixture
def source(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """As many rows as the test file says in `ROWS`."""
    rows = getattr(request.module, "ROWS", ROWS)
    return write_input(tmp_path / "in.jsonl", map(batch_scene.request, range(rows)))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def run(faulty_router: FaultyRouter, key_directory: Path, source: Path, output: Path) -> Runner:
    return runner(source, output, faulty_router.url, key_directory, concurrency=4)


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses_module, "FIRST_BACKOFF_S", 0.05)
    monkeypatch.setattr(pauses_module, "MAX_BACKOFF_S", 0.1)


@pytest.fixture
def noting() -> Iterator[PromptNotingRouter]:
    with PromptNotingRouter() as noting:
        yield noting
