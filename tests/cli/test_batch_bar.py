"""The bar of `nomyo batch`: on the screen of nobody else, while its messages are written anywhere."""

from __future__ import annotations

import os
import sys

import pytest

from nomyo.batch.progress import PlainProgress
from nomyo.cli.batch.interruptible import progress_on_stderr
from nomyo.cli.batch.progress_bar import BarProgress
from support.screen import Screen
from support.terminal import plain

ROWS = 7


@pytest.fixture
def bar(screen: Screen) -> BarProgress:
    screen.connect()
    return BarProgress(sys.stderr, "nomyo batch")


def test_foreground_has_the_bar_and_lines_above_it(screen: Screen, bar: BarProgress) -> None:
    screen.put("foreground")
    bar.begin(ROWS, 0, 0)
    bar.row(failed=False, tokens=5)
    bar.tell("a pause")
    bar.end()
    shown = screen.drawn()
    assert "nomyo batch: a pause\n" in plain(shown)
    assert f"1/{ROWS}" in shown
    assert "\x1b[?" not in shown  # a mode, as a hidden cursor, which a stopped batch would leave to the shell


def test_background_job_writes_messages_alone(screen: Screen, bar: BarProgress) -> None:
    screen.put("background")
    bar.begin(ROWS, 0, 0)
    bar.row(failed=False, tokens=5)
    bar.tell("a pause")
    print("nomyo batch: stopping", file=sys.stderr)
    assert plain(screen.drawn()) == "nomyo batch: a pause\nnomyo batch: stopping\n"
    bar.end()


def test_end_in_the_background_is_a_line_that_moves_no_cursor(screen: Screen, bar: BarProgress) -> None:
    screen.put("background")
    bar.begin(1, 0, 0)
    bar.row(failed=False, tokens=5)
    bar.end()
    shown = screen.drawn()
    assert "1/1" in shown
    assert "\r" not in shown.replace("\r\n", "")
    assert "\x1b[2K" not in shown


def test_bar_follows_its_job_between_foreground_and_background(screen: Screen, bar: BarProgress) -> None:
    screen.put("background")
    bar.begin(ROWS, 3, 0)
    screen.put("foreground")
    while f"3/{ROWS}" not in (shown := screen.drawn()):  # rich's thread draws it
        pass
    assert "\x1b[" in shown  # with its colours, although it was started in the background
    screen.put("background")
    screen.drawn()
    bar.tell("a pause")
    assert plain(screen.drawn()) == "nomyo batch: a pause\n"
    bar.end()


def test_terminal_of_another_session_has_lines(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    screen.connect()
    assert isinstance(progress_on_stderr("nomyo batch", quiet=False), PlainProgress)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
    assert isinstance(progress_on_stderr("nomyo batch", quiet=False), BarProgress)
