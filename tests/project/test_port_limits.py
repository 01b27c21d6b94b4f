"""`tools/ports/limits.py`: under an emulator, exactly what it cannot answer may fail."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LIMITS_PY = Path(__file__).parents[2] / "tools" / "ports" / "limits.py"
LIMITS = """
[mlock2]
why = "no such call"
tests = ["arena_locked: counts_agree"]
"""
LOG = """
     Running unittests src/lib.rs (target/deps/nomyo_core-1)
test stack::registers ... ok
test result: ok. 1 passed; 0 failed
     Running tests/arena_locked.rs (target/deps/arena_locked-1)
test counts_agree ... FAILED
test everything_else ... ok

failures:

---- counts_agree stdout ----
test child_counts_agree ... FAILED
test result: FAILED. 0 passed; 1 failed

test result: FAILED. 1 passed; 1 failed
"""


def _judged(folder: Path, log: str, facilities: str = "mlock2 no\n") -> subprocess.CompletedProcess[str]:
    files = {"limits.toml": LIMITS, "facilities": facilities, "log": log}
    for name, text in files.items():
        (folder / name).write_text(text)
    return subprocess.run(
        [sys.executable, LIMITS_PY, *(folder / name for name in files)], capture_output=True, text=True, check=False
    )


def test_what_the_emulator_lacks_may_fail_and_is_told(tmp_path: Path) -> None:
    judged = _judged(tmp_path, LOG)
    assert judged.returncode == 0, judged.stderr
    assert "the emulator lacks mlock2: no such call\n    arena_locked: counts_agree\n" in judged.stdout
    assert judged.stdout.endswith("excused: 1\n")


@pytest.mark.parametrize(
    ("log", "facilities", "complaint"),
    [
        (LOG.replace("everything_else ... ok", "everything_else ... FAILED"), "mlock2 no", "everything_else failed"),
        (LOG.replace("counts_agree ... FAILED", "counts_agree ... ok"), "mlock2 no", "counts_agree passed"),
        (LOG.split("\nfailures:")[0], "mlock2 no", "arena_locked: no result failed"),
        (LOG.replace("test result: ok. 1", "signal: 11"), "mlock2 no", "lib: no result failed"),
        (LOG, "mlock2 yes", "mlock2 works here"),
        (LOG, "", "mlock2 works here"),
    ],
    ids=["other failed", "excused passed", "last program died", "first program died", "facility there", "not tried"],
)
def test_anything_else_is_refused(tmp_path: Path, log: str, facilities: str, complaint: str) -> None:
    judged = _judged(tmp_path, log, facilities)
    assert judged.returncode == 1
    assert complaint in judged.stdout
