"""A tenth of `make soak`, and a proof that it sees a leak of each kind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.process import run_python, unmeasured
from support.soak import growth

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

PROGRAM = Path(__file__).parents[1] / "support" / "soak.py"

LEAKING = """
import sys
sys.path.insert(0, sys.argv[1])
import os, threading
from support import soak
from nomyo import _core
soak.start_all_threads()
kept, pem = [], bytes(_core.PrivateKey.generate(2048).to_pem())
def leak(times):
    for _ in range(times):
        kept.append({leak})
print(*[figure.name for figure in soak.observe(leak, 100) if not figure.flat], sep=",", flush=True)
os._exit(0)
"""


@pytest.mark.outside("minutes")
@pytest.mark.parametrize("hidden", ["0", "1"])
def test_tenth_of_the_soak_is_flat(hidden: str) -> None:
    command = [sys.executable, str(PROGRAM), "1"]
    environment = {**unmeasured(), "NOMYO_HIDE_MEMORY": hidden}
    finished = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280, env=environment)
    print(finished.stdout)
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stdout


@pytest.mark.outside("minutes")
@pytest.mark.parametrize(
    ("leak", "figure"),
    [
        ("bytearray(os.urandom(1)) * 60_000", "RSS KiB"),
        ("os.open('/dev/null', os.O_RDONLY)", "open files"),
        ("_core.SecureBuffer(8000)", "VmLck KiB"),
        ("_core.PrivateKey.from_pem(pem)", "arena in use KiB"),
        ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "threads"),
    ],
)
def test_soak_sees_a_leak(leak: str, figure: str) -> None:
    finished = run_python(LEAKING.replace("{leak}", leak), os.fspath(PROGRAM.parents[1]))
    assert finished.returncode == 0, finished.stderr
    assert figure in finished.stdout.strip().split(",")


def test_line_is_fitted_to_the_samples_after_warming_up() -> None:
    rising = growth("threads", [100.0] * 5 + [float(place) for place in range(20)])
    assert rising.grown == pytest.approx(19)
    assert not rising.flat
    assert growth("threads", [0.0] * 5 + [7.0] * 20).flat
