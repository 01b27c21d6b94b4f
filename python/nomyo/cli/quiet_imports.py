"""Lets Ctrl-C end a command while it imports its modules, before it holds anything that must be wiped or finished."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

INTERRUPTED: Final = 130
"""What a shell reports of a program that SIGINT ended."""


@contextmanager
def ended_quietly_by_interrupt() -> Iterator[None]:
    """Let Ctrl-C end the process at once, while there is nothing to wipe or to finish.

    A KeyboardInterrupt may rise anywhere within an import, also at a place where it is swallowed or only printed.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield  # a background job ignores the signal, and a thread cannot handle signals
        return
    signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
