"""Chooses the signals that a command handles: none that it was started to ignore."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


def not_ignored(*wanted: signal.Signals) -> list[signal.Signals]:
    """Return the signals that this process does not ignore.

    nohup(1), and a shell without job control for a background job, start a program with signals ignored on purpose. If
    the program handled them all the same, the terminal's next Ctrl-C would end it (POSIX, XCU 2.12).
    """
    return [number for number in wanted if signal.getsignal(number) is not signal.SIG_IGN]


def on_signal(loop: asyncio.AbstractEventLoop, number: signal.Signals, act: Callable[[], None]) -> None:
    """Call a function in the event loop when a signal comes. The loop of Windows takes no signals itself."""
    try:
        loop.add_signal_handler(number, act)
    except NotImplementedError:
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(act) and None)
