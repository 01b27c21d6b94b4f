"""The line that counts the seconds until an answer is there: on the screen of nobody else, and gone without a trace."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import termios
from collections.abc import Callable

import pytest

from nomyo.cli.chat import waiting
from nomyo.cli.chat.waiting import shown_waiting
from support.noting_router import NotingRouter
from support.screen import Screen
from support.terminal import in_terminal

LINE = "\r\x1b[Kwaiting for the answer; Ctrl-C cancels (0 s)"
ERASED = "\r\x1b[K"


def drawn(screen: Screen) -> tuple[str, str]:
    """Return what was drawn while an answer was awaited, and afterwards."""
    with shown_waiting():
        meanwhile = screen.drawn()
    return meanwhile, screen.drawn()


def test_foreground_has_the_line_and_then_nothing(screen: Screen) -> None:
    screen.connect()
    screen.put("foreground")
    assert drawn(screen) == (LINE, ERASED)


def test_background_job_draws_nothing(screen: Screen) -> None:
    screen.connect()
    screen.put("background")
    assert drawn(screen) == ("", "")


def test_terminal_of_another_session_is_left_alone(screen: Screen) -> None:
    screen.connect()
    assert drawn(screen) == ("", "")


def test_job_that_is_moved_draws_only_while_it_is_in_the_foreground(
    screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_REDRAWN_S", 0.01)
    screen.connect()
    screen.put("background")
    with shown_waiting():
        assert screen.drawn() == ""
        screen.put("foreground")
        while LINE not in screen.drawn():
            pass
        screen.put("background")
    assert not screen.drawn().endswith(ERASED)


@pytest.mark.parametrize("ends", [os.pipe, lambda: [each.detach() for each in socket.socketpair()]])
def test_nothing_is_drawn_while_another_program_reads_the_answer(ends: Callable[[], list[int]], screen: Screen) -> None:
    reading, writing = ends()
    with open(writing, "w", encoding="utf-8") as stdout:
        screen.connect(stdout=stdout)
        screen.put("foreground")
        assert drawn(screen) == ("", "")
    os.close(reading)


def test_line_is_cut_where_the_terminal_would_wrap_it(screen: Screen) -> None:
    fcntl.ioctl(screen.master, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 20, 0, 0))
    screen.connect()
    screen.put("foreground")
    assert drawn(screen) == (f"{ERASED}waiting for the ans", ERASED)


def test_interrupt_leaves_no_line_and_finds_the_terminal_as_it_was(
    noting_router: NotingRouter, key_options: list[str]
) -> None:
    noting_router.conduct = "silent"
    own = ["--model", "m", "--base-url", noting_router.url, "--allow-http", *key_options, "hello"]
    with in_terminal("chat", *own) as terminal:
        assert noting_router.received.wait(30)
        before = terminal.see("waiting for the answer")
        terminal.process.send_signal(signal.SIGINT)
        code, rest = terminal.end()
    assert code == 130
    assert rest.endswith(ERASED)
    assert "\x1b[?" not in before + rest  # a mode, which SIGTERM or SIGHUP would leave behind
