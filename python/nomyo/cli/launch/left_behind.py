"""Ends what an agent left running when it was told to end: a command of a tool's, for instance.

Such a process is known by the agent's token, which it inherited in its environment, whatever session, process group or
parent it has by now. That is Linux's knowledge (proc(5)); elsewhere nothing is ended.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

_PATIENCE_S: Final = 1.0
_PAUSE_S: Final = 0.02


def end_marked(mark: str) -> None:
    """End all processes of this user whose environment holds a text: by SIGTERM, and after a second by SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + _PATIENCE_S
        while _signalled(mark.encode(), number) and time.monotonic() < until:
            time.sleep(_PAUSE_S)


def _signalled(mark: bytes, number: signal.Signals) -> bool:
    """Send a signal to all of them. Returns False if there are none."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()] if os.path.isdir("/proc/self") else []
    return sum(_signal_if_marked(pid, mark, number) for pid in pids) > 0


def _signal_if_marked(pid: int, mark: bytes, number: signal.Signals) -> bool:
    """Send a signal to a process if it is one of them; not to another one that gets its number meanwhile."""
    with suppress(OSError):  # somebody else's, or it ended
        descriptor = os.pidfd_open(pid)
        try:
            if mark in Path(f"/proc/{pid}/environ").read_bytes():
                signal.pidfd_send_signal(descriptor, number)
                return True
        finally:
            os.close(descriptor)
    return False
