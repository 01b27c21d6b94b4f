"""A twentieth of `tests/support/batch_scale.py`, and a proof that it sees memory that grows."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from nomyo import _core
from support import batch_scale
from support.process import unmeasured
from support.soak import growth


@pytest.fixture
def _unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Coverage's tracer takes its time, and memory for every thread."""
    whole = unmeasured()
    for name in [name for name in os.environ if name not in whole]:
        monkeypatch.delenv(name)


@pytest.mark.usefixtures("_unmeasured")
@pytest.mark.slow("a batch of a thousand rows")
def test_thousand_rows_leave_memory_flat() -> None:
    measured = batch_scale.measure(1000, key_bits=2048)
    assert [figure for figure in measured["grown"] if not figure.flat] == []
    assert batch_scale.arena_kept_kib(measured) <= 0


@pytest.mark.slow("a batch of 400 rows")
def test_memory_that_grows_with_rows_is_seen(tmp_path: Path, router: Any, client_key: Any) -> None:
    _core.write_key_directory(tmp_path / "client_keys", client_key)
    leak = "b.Sampling.kept = []; row = b.Sampling.row; "
    leak += "b.Sampling.row = lambda self, **_: (self.kept.append(bytearray(1) * 10_000), row(self))"
    program = f"batch({router.url!r}, Path({str(tmp_path)!r}), 400, 'memory')"
    said = batch_scale.in_child(program, before=leak)
    assert not growth("RSS KiB", [taken["RSS KiB"] for taken in said["samples"]]).flat
