"""Every module of the package can be imported on every platform: what one lacks is missed only where it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

from support import other_platform


@pytest.mark.parametrize("platform", sorted(other_platform.PLATFORMS))
@pytest.mark.slow("imports every module in a new process")
def test_every_module_is_imported_without_what_the_platform_lacks(platform: str) -> None:
    command = [sys.executable, "-W", "error", other_platform.__file__, platform]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    *failed, last = finished.stdout.splitlines()
    assert failed == []
    count, word = last.split()
    assert word == "modules"
    assert int(count) > 200
