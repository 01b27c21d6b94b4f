"""A wait of the sync client ends as its own timeout, however coarse the clock is (Windows, before CPython 3.13)."""

from __future__ import annotations

from support.process import output_of

WAITS = """
import math, socket, time
from functools import partial
from types import SimpleNamespace

STEP_S = 1 / 64
fine = time.monotonic
time.monotonic = lambda: math.floor(fine() / STEP_S) * STEP_S
time.get_clock_info = lambda name: SimpleNamespace(resolution=STEP_S)

from nomyo.exchange.http.sync_channels import TooLateError, due_in, timed

silent, other = socket.socketpair()
for _ in range(20):
    try:
        timed(silent, due_in(0.022), partial(silent.recv, 1))
    except TooLateError:
        print("late")
silent.close(), other.close()
"""


def test_wait_that_seems_to_end_early_is_no_exception_of_the_caller() -> None:
    assert output_of(WAITS).split() == ["late"] * 20
