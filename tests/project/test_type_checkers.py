"""pyright reads the types as mypy does: it refuses each misspelt option, and no other call."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PYRIGHT = TESTS / "node" / "node_modules" / ".bin" / "pyright"


@pytest.mark.outside("Node.js")
def test_pyright_refuses_misspelt_options_and_nothing_else() -> None:
    assert PYRIGHT.exists(), "`make node` installs pyright"

    program = [str(PYRIGHT), "--pythonpath", sys.executable, str(TESTS / "support" / "misspelt_options.py")]
    judged = subprocess.run(program, capture_output=True, text=True, check=False, timeout=120)

    assert (judged.returncode, judged.stderr) == (0, ""), judged.stdout
