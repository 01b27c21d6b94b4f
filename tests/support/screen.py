"""A terminal in whose foreground or background this process is, as a test wants it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

MARK = "|"


class Screen:
    """A terminal in whose foreground or background this process is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.master, slave = os.openpty()
        self.stream = open(slave, "w", encoding="utf-8")  # noqa: SIM115 - the fixture closes it
        self._patch = monkeypatch

    def connect(self, *, stdout: TextIO | None = None) -> None:
        """Make the terminal stderr, and stdout if that is nothing else."""
        self._patch.setenv("TERM", "xterm")
        self._patch.setattr("sys.stderr", self.stream)
        self._patch.setattr("sys.stdout", stdout or self.stream)

    def put(self, place: str) -> None:
        group = os.getpgrp() + (place == "background")
        self._patch.setattr(os, "tcgetpgrp", lambda _: group)

    def drawn(self) -> str:
        """Return what was drawn since the last call."""
        self.stream.write(MARK)
        self.stream.flush()
        shown = ""
        while MARK not in shown:
            shown += os.read(self.master, 10_000).decode()
        return shown.replace(MARK, "")


@contextmanager
def a_screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    made = Screen(monkeypatch)
    with made.stream:
        yield made
    os.close(made.master)
