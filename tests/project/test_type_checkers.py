"""pyright reads the types as mypy does: it refuses each call that is marked as wrong, and no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
EXAMPLES = TESTS.parent / "examples"
PYRIGHT = TESTS / "node" / "node_modules" / ".bin" / "pyright"


@pytest.mark.outside("Node.js")
def test_pyright_refuses_what_is_misspelt_and_nothing_else() -> None:
    assert PYRIGHT.exists(), "`make node` installs pyright"

    programs = [str(TESTS / "support" / name) for name in ("misspelt_options.py", "typed_requests.py")]
    programs += [str(path) for path in sorted(EXAMPLES.glob("*.py")) if path.name != "ray_batch.py"]  # has its own venv
    command = [str(PYRIGHT), "--pythonpath", sys.executable, *programs]
    judged = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    assert (judged.returncode, judged.stderr) == (0, ""), judged.stdout
