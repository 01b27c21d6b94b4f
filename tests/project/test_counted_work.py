"""A guard against gross regressions: work that is counted, and ratios of processor time; never time by the clock.

Figures are those measured when this was written, with half as much again allowed. Whoever saves work lowers them.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nomyo import _core
from nomyo.serve.router.running import RunningRouter
from support.peer import opened, seal_for
from support.process import unmeasured

PROGRAM = Path(__file__).parents[1] / "support" / "counted_work.py"
ALLOWED = 1.5
CALLS_IN_THE_LOOP = 520
CALLS_ELSEWHERE = 58 if sys.version_info >= (3, 14) else 30  # measured with 3.14.8 and 3.11.7
SYSTEM_CALLS = 22
# What the kernel is asked for depends on who waits for whom.
WAITING = {"futex", "sched_yield", "clock_nanosleep", "restart_syscall"}


@pytest.fixture
def run(router: RunningRouter, key_directory: Path) -> Callable[..., str]:
    def run(count: int, *before: str) -> str:
        command = [*before, sys.executable, str(PROGRAM), router.url, str(key_directory), str(count)]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False, env=unmeasured())
        assert finished.returncode == 0, finished.stderr
        return finished.stdout

    return run


def test_request_calls_no_more_functions_than_it_did(run: Callable[..., str]) -> None:
    counted = json.loads(run(400))
    print(counted)
    assert counted["in the loop"] < CALLS_IN_THE_LOOP * ALLOWED
    assert counted["elsewhere"] < CALLS_ELSEWHERE * ALLOWED
    assert counted["blocks left"] < 3  # some 500 in all, for caches


@pytest.mark.outside("strace")
def test_request_makes_no_more_system_calls_than_it_did(run: Callable[..., str], tmp_path: Path) -> None:
    def system_calls(count: int) -> dict[str, int]:
        said = tmp_path / f"calls-{count}"
        run(count, shutil.which("strace") or "strace", "--follow-forks", "--summary-only", "--output", str(said))
        lines = re.findall(r"^ *[\d.]+ +[\d.]+ +\d+ +(\d+) +(?:\d+ +)?(\w+)$", said.read_text(), re.MULTILINE)
        return {name: int(calls) for calls, name in lines if name not in WAITING | {"total"}}

    few, many = system_calls(50), system_calls(250)
    counted = {name: round((many[name] - few.get(name, 0)) / 200, 1) for name in many}
    print({name: calls for name, calls in counted.items() if calls >= 0.1})
    # The request, and the word of the thread that opened the answer.
    assert counted.get("sendto", 0) + counted.get("sendmsg", 0) + counted.get("write", 0) < 2.5
    # The pages of the client's key are opened and closed.
    assert counted.get("mprotect", 0) < 2.5
    assert sum(counted.get(name, 0) for name in ("mmap", "munmap", "madvise", "mlock", "brk")) < 0.5
    assert sum(counted.values()) < SYSTEM_CALLS * ALLOWED


@pytest.mark.parametrize(("size", "at_most"), [(10_000, 1.2), (100_000, 0.8), (1_000_000, 0.6)])
def test_sealing_takes_less_than_by_hand(client_key: _core.PrivateKey, size: int, at_most: float) -> None:
    payload = text_of(size)
    pem, public_key = client_key.public_key.pem, client_key.public_key
    ratio = least_ratio(lambda: _core.seal(payload, public_key), lambda: seal_for(pem, payload))
    assert ratio < at_most


@pytest.mark.parametrize(("size", "at_most"), [(10_000, 1.2), (100_000, 1.0), (1_000_000, 0.8)])
def test_opening_takes_less_than_by_hand(client_key: _core.PrivateKey, size: int, at_most: float) -> None:
    payload = text_of(size)
    package = seal_for(client_key.public_key.pem, payload)
    with client_key.to_pem() as pem:
        key = serialization.load_pem_private_key(bytes(pem), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    ratio = least_ratio(lambda: _core.open_package(package, client_key), lambda: json.loads(opened(key, package)[0]))
    assert ratio < at_most


def text_of(size: int) -> dict[str, Any]:
    piece = 'He said "n\u00e9e" and\nleft; \u4f60\u597d. Plain words follow, as they mostly do in a text of this kind. '
    return {"model": "m", "messages": [{"role": "user", "content": (piece * (size // len(piece) + 1))[:size]}]}


def least_ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Return the least processor time of one by that of the other, taking turns."""
    times: dict[Callable[[], object], float] = {}
    for _ in range(40):
        for work in (ours, theirs):
            began = time.thread_time()
            work()
            taken = time.thread_time() - began
            times[work] = min(taken, times.get(work, taken))
    print(f"{times[ours] / times[theirs]:.2f}")
    return times[ours] / times[theirs]
