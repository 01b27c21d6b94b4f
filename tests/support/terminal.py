"""A program in a terminal of its own, and somebody who types there."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pexpect import EOF
from pexpect.fdpexpect import fdspawn

from support.process import LIMITED
from support.waiting import until

CTRL_C, CTRL_D, ENTER, ESCAPE = "\x03", "\x04", "\r", "\x1b"
ROWS = 40
WAIT_S = 60
_ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[A-Za-z]|[=>])")


class Terminal:
    """What is on the screen, as bytes came, and a keyboard."""

    def __init__(self, master: int, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._master = master
        self._screen = fdspawn(master, encoding="utf-8", timeout=WAIT_S)

    def see(self, text: str) -> str:
        """Wait for a text, and return what came before it."""
        self._screen.expect_exact(text)
        return str(self._screen.before)

    def wait_for_prompt(self) -> None:
        """Wait until the program reads key by key: what is typed before that, the terminal itself would interpret."""
        until(lambda: not termios.tcgetattr(self._master)[3] & termios.ICANON, timeout_s=WAIT_S)

    @property
    def echoes(self) -> bool:
        """Whether the terminal shows what is typed."""
        return bool(termios.tcgetattr(self._master)[3] & termios.ECHO)

    def type(self, *keys: str) -> None:
        for key in keys:
            self._screen.send(key)

    def end(self) -> tuple[int, str]:
        """Wait for the program's end; return its exit code and what came meanwhile."""
        self._screen.expect(EOF)
        return self.process.wait(timeout=WAIT_S), str(self._screen.before)


@contextmanager
def in_terminal(
    *arguments: str,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    columns: int = 100,
    program: Sequence[str] = (sys.executable, "-m", "nomyo"),
) -> Iterator[Terminal]:
    """Run `nomyo`, or another program, with a terminal as its stdin, stdout, stderr and controlling terminal."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    command = [*LIMITED, "--terminal", *program, *arguments]
    streams: dict[str, Any] = {"stdin": slave, "stdout": slave, "stderr": slave}
    # prompt_toolkit asks the terminal where its cursor is, and waits a second for one that does not answer.
    environment = {**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", **(env or {})}
    with subprocess.Popen(command, cwd=cwd, env=environment, **streams) as process:
        os.close(slave)
        try:
            yield Terminal(master, process)
        finally:
            process.kill()
            os.close(master)


def plain(text: str) -> str:
    """Return a screen's text without what moves the cursor or colours it."""
    return _ESCAPES.sub("", text).replace("\r\n", "\n")
