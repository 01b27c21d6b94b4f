"""What checks with a cluster share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.batch_scene import PromptNotingRouter, request, write_input


@pytest.fixture(scope="module")
def _cluster() -> Iterator[None]:
    import ray  # where pytest looks at all folders there is none

    with tempfile.TemporaryDirectory(prefix="ray") as directory:
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        ray.init(num_cpus=4, object_store_memory=100 * 1024 * 1024, _temp_dir=directory, **quiet)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def router() -> Iterator[PromptNotingRouter]:
    with PromptNotingRouter() as router:
        yield router


@pytest.fixture
def source(tmp_path: Path) -> Path:
    rows = [request(number) for number in range(1, 26)]
    return write_input(tmp_path / "in.jsonl", [*rows[:12], b"{", b"", *rows[12:]])


@pytest.fixture
def _without_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    from cluster.without_cluster import WITHOUT_CLUSTER  # which imports Ray

    for name, value in WITHOUT_CLUSTER.items():
        monkeypatch.setattr(name, value)
