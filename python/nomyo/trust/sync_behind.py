"""Calls a sync behind those who write: at most `LATEST_S` after they said so, in one thread, however many they are.

The thread is a daemon. On exit the interpreter stops it wherever it is, so those who wake it take no lock that it may
hold: `SimpleQueue.put` never waits (https://docs.python.org/3/library/queue.html#queue.SimpleQueue.put).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from nomyo._threads import is_no_thread

LATEST_S: Final = 1.0


class SyncBehind:
    """The thread of one file, which starts with its first line.

    Args:
        sync: Syncs all that was written before the call. It raises nothing.
    """

    def __init__(self, sync: Callable[[], object]) -> None:
        self._sync = sync
        self._woken: SimpleQueue[None] = SimpleQueue()
        self._is_awake = False
        self._has_thread = False

    def wake(self) -> None:
        """Say that something was written. If the system gives no thread, it is synced here and now."""
        if self._is_awake:
            return
        self._is_awake = True
        if not self._has_thread and not self._starts():
            self._is_awake = False
            self._sync()
            return
        self._woken.put(None)

    def hurry(self) -> None:
        """Sync what was written without further delay, and without waiting for it."""
        if self._is_awake:
            self._woken.put(None)

    def _starts(self) -> bool:
        self._has_thread = True
        try:
            threading.Thread(target=self._run, name="nomyo-audit", daemon=True).start()
        except RuntimeError as error:
            self._has_thread = False
            if not is_no_thread(error):  # the interpreter exits, and syncs at its end
                return True
        return self._has_thread

    def _run(self) -> None:
        while True:
            self._woken.get()
            with suppress(Empty):
                self._woken.get(timeout=LATEST_S)
            self._is_awake = False  # before the sync: what is written from here on wakes it again
            self._sync()
