"""Twenty seconds of the hostile crowd of `make soak`, and a proof that it sees what must not be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.hostile_crowd import MOST, TOLERANCE, verdicts
from support.process import unmeasured
from support.soak import SAMPLES

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

PROGRAM = Path(__file__).parents[1] / "support" / "hostile_crowd.py"
QUIET = {"RSS KiB": 60_000.0, "open files": 300.0, "threads": 4.0, "log bytes": 0.0}


@pytest.mark.outside("minutes")
def test_own_work_beside_a_hostile_crowd_succeeds_and_nothing_grows() -> None:
    finished = subprocess.run(
        [sys.executable, PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env=unmeasured() | {"NOMYO_SOAK_S": "20"},
    )
    print(finished.stdout)
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stdout


def test_server_that_stays_as_it_is_has_no_fault() -> None:
    assert verdicts("router", [QUIET] * SAMPLES) == []


@pytest.mark.parametrize("name", TOLERANCE)
def test_figure_that_grows_is_seen(name: str) -> None:
    step = 1.5 * TOLERANCE[name] / SAMPLES
    rising = [{**QUIET, name: QUIET[name] + step * number} for number in range(SAMPLES)]
    assert verdicts("router", rising) == [f"router: {name} grows by more than {TOLERANCE[name]:g}"]


@pytest.mark.parametrize("name", MOST)
def test_figure_that_is_too_large_once_is_seen(name: str) -> None:
    peak = [*[QUIET] * SAMPLES, {**QUIET, name: MOST[name] + 1.0}, *[QUIET] * SAMPLES]
    assert f"router: {name} is more than {MOST[name]:g}" in verdicts("router", peak)
