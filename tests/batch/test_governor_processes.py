"""Four real processes under one rate, on the machine's own clock and against the real router."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from itertools import chain
from pathlib import Path

import pytest

from nomyo.batch.governor.limits import SECOND_NS, Limits
from nomyo.serve.router.config import RateLimit, RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.windows import check_every_window, least_distance_ns

PROGRAM = Path(__file__).parents[1] / "support" / "governed_process.py"
STEADY = Limits(requests_per_s=40)
BURSTING = Limits(requests_per_s=20, burst_requests=40, burst_window_s=1)


def _options(limits: Limits) -> str:
    return json.dumps({option.name: getattr(limits, option.name) for option in fields(limits) if option.init})


@contextmanager
def _processes(number: int, *arguments: str) -> Iterator[list[subprocess.Popen[str]]]:
    """Start processes that begin together, and end whatever is left of them."""
    command = [sys.executable, "-W", "error", str(PROGRAM), *arguments]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(number)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def _lines(process: subprocess.Popen[str]) -> list[str]:
    """Return what a process printed until its end, without a line that it did not finish."""
    shown = process.communicate(timeout=120)[0]
    return shown[: shown.rfind("\n") + 1].splitlines()


def _moments(processes: list[subprocess.Popen[str]]) -> list[list[int]]:
    return [[int(line) for line in _lines(process)] for process in processes]


@pytest.mark.parametrize("limits", [STEADY, BURSTING], ids=["steady", "bursting"])
def test_four_processes_keep_to_the_rates_over_any_window(tmp_path: Path, limits: Limits) -> None:
    with _processes(4, str(tmp_path / "books"), _options(limits), "30") as processes:
        moments = _moments(processes)
    assert [len(each) for each in moments] == [30] * 4
    check_every_window(sorted(chain(*moments)), limits)


def test_processes_that_all_have_something_to_send_take_turns(tmp_path: Path) -> None:
    with _processes(4, str(tmp_path / "books"), _options(STEADY), "30") as processes:
        moments = _moments(processes)
    begin_ns, end_ns = max(each[0] for each in moments), min(each[-1] for each in moments)
    shares = [sum(begin_ns <= moment <= end_ns for moment in each) for each in moments]
    assert max(shares) <= 2 * min(shares) + 2, shares


def test_killed_processes_neither_stop_the_others_nor_free_the_rate(tmp_path: Path) -> None:
    rng = random.Random(11)
    with _processes(4, str(tmp_path / "books"), _options(Limits(requests_per_s=200)), "100000") as processes:
        time.sleep(0.5)
        for process in processes[:3]:
            process.send_signal(signal.SIGKILL)
            time.sleep(rng.uniform(0.05, 0.4))
        time.sleep(1.5)
        processes[3].kill()
        moments = _moments(processes)
    assert all(moments)
    went = sorted(chain(*moments))
    assert least_distance_ns(went) >= SECOND_NS // 200
    alone = [each for each in moments[3] if each > moments[2][-1]]
    assert len(alone) > 5


@pytest.mark.parametrize("round_", range(12))
def test_books_are_whole_whenever_a_process_is_killed(tmp_path: Path, round_: int) -> None:
    rng = random.Random(round_)
    with _processes(2, str(tmp_path / "books"), _options(Limits(requests_per_s=1000)), "100000") as processes:
        time.sleep(rng.uniform(0.005, 0.1))
        for process in processes:
            process.kill()
        went = sorted(chain(*_moments(processes)))
    books = json.loads(next((tmp_path / "books").glob("*.json")).read_bytes())
    # A turn may have been recorded whose process died before it could say so.
    assert not went or books["last_ns"] >= went[-1]
    assert least_distance_ns(went) >= SECOND_NS // 1000


@pytest.mark.slow("sends 40 requests at 16 a second")
def test_router_refuses_none_of_four_processes(tmp_path: Path, key_directory: Path) -> None:
    # Each process has one request on the way at most: of 16 turns a second, the router sees no more than 20 in any.
    limit = RateLimit(requests_per_second=20, burst_requests=20)
    with RunningRouter(RouterConfig(key_bits=2048, rate_limit=limit)) as router:
        send = (str(tmp_path / "books"), _options(Limits(requests_per_s=16)), "10", router.url, str(key_directory))
        with _processes(4, *send) as processes:
            outcomes = [outcome for process in processes for outcome in _lines(process)]
        assert outcomes == ["sent"] * 40
        with _processes(4, send[0], "none", *send[2:]) as processes:
            outcomes = [outcome for process in processes for outcome in _lines(process)]
        assert set(outcomes) == {"sent", "RateLimitError"}  # without a governor
