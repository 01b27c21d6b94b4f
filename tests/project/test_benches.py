"""`pytest benches` after `make setup` alone."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_benches_run_after_setup_and_say_what_else_to_run(tmp_path: Path) -> None:
    """`make setup` installs no other client to compare with."""
    shutil.copytree(ROOT / "benches", tmp_path / "benches", ignore=shutil.ignore_patterns("replay"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    command = [sys.executable, "-m", "pytest", "benches", "-k", "200B", "--benchmark-disable", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False)
    assert "7 passed" in done.stdout
    assert done.returncode == 1
    assert "run `make reference`" in done.stdout
    assert "Traceback" not in done.stdout
