"""Shows that an answer is awaited, and for how long.

Rules:

- Only a command in the foreground of its terminal draws the line, and each drawing asks anew (`cli/foreground.py`).
- It is not drawn if stdout is a pipe, whose reader may own the screen (`| less`).
- It hides no cursor and sets no mode, so a signal that ends the command leaves nothing to restore.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Final

from nomyo.cli.foreground import in_foreground

_REDRAWN_S: Final = 1.0
_ERASE: Final = "\r\x1b[K"  # ECMA-48, EL: to the end of the line, with the ^C that a terminal echoes


@contextmanager
def shown_waiting() -> Iterator[None]:
    """Show a line with the seconds on stderr while the block lasts, if stderr is a terminal that can erase it again.

    Without a thread for it, or if the terminal fails, nothing is shown, and the work goes on.
    """
    line = None
    with suppress(Exception):
        line = _started_line()
    try:
        yield
    finally:
        with suppress(Exception):
            if line is not None:
                line.stop()


def waiting_words(seconds: float) -> str:
    """Return the words of the line."""
    return f"waiting for the answer; Ctrl-C cancels ({seconds:.0f} s)"


def _started_line() -> _Line | None:
    """Return a line that is on the screen; None if there is no terminal for it."""
    if sys.stderr is None or not sys.stderr.isatty() or _stdout_is_a_pipe():
        return None
    if os.environ.get("TERM") in ("dumb", "unknown"):
        return None
    line = _Line()
    line.start()
    return line


def _stdout_is_a_pipe() -> bool:
    try:
        kind = os.fstat(sys.stdout.fileno()).st_mode
    except (AttributeError, OSError, ValueError):
        return False
    return stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind)


class _Line:
    """The line, which a thread draws anew each second."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._ended = Event()
        self._thread = Thread(target=self._keep_drawing, daemon=True)

    def start(self) -> None:
        """Draw the line, and go on doing so."""
        self._thread.start()
        self._draw()

    def stop(self) -> None:
        """Erase the line."""
        self._ended.set()
        self._thread.join()
        _write(_ERASE)

    def _keep_drawing(self) -> None:
        with suppress(Exception):
            while not self._ended.wait(_REDRAWN_S):
                self._draw()

    def _draw(self) -> None:
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
        words = waiting_words(time.monotonic() - self._began)
        _write(_ERASE + words[: columns - 1 if columns else None])  # a line that wraps could not be erased


def _write(text: str) -> None:
    """Write to the terminal if this process is in its foreground."""
    if in_foreground(sys.stderr.fileno()):
        sys.stderr.write(text)
        sys.stderr.flush()
