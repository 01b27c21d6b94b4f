"""Shows that an answer is awaited, and for how long."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


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


def _started_line() -> Any:
    """Return a line that is on the screen; None if there is no terminal for it."""
    if sys.stderr is None or not sys.stderr.isatty():  # rich takes 0.1 s to import
        return None
    from rich.console import Console
    from rich.live import Live
    from rich.spinner import Spinner

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        return None
    began = time.monotonic()
    spinner = Spinner("line", style="status.spinner")

    def draw() -> Spinner:
        spinner.update(text=waiting_words(time.monotonic() - began))
        return spinner

    live = Live(console=console, get_renderable=draw, refresh_per_second=12.5, transient=True, redirect_stdout=False)
    live.start()
    return live
