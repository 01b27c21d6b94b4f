"""A batch of sixty rows against a router that answers wrongly when told to: `pytest_plugins = ["batch_fixtures"]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import nomyo
import nomyo.batch
from batch_scene import ROWS, request, write_input
from faults import FaultyRouter
from nomyo.batch.governor import pauses as pauses_module


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_input(tmp_path / "in.jsonl", map(request, range(ROWS)))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def run(faulty_router: FaultyRouter, key_directory: Path, source: Path, output: Path) -> Any:
    def run(**options: Any) -> nomyo.batch.Summary:
        given = {"base_url": faulty_router.url, "allow_http": True, "key_dir": key_directory, "concurrency": 4}
        return nomyo.batch.run(source, output, **{**given, **options})

    return run


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pauses_module, "FIRST_BACKOFF_S", 0.05)
    monkeypatch.setattr(pauses_module, "LONGEST_BACKOFF_S", 0.1)
