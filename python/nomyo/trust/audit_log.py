"""The audit log: a chained file (`open_chain.py`) with a line for each request.

Rules:

- One `AuditLog` for each file, whatever the number of clients. Other processes append to the same file, under its lock.
- A line is written by the thread that has opened the answer: to wake another one would cost more than the line. If it
  has to wait, because others hold the file, or if there is no answer, it is queued, and one thread writes all of those.
- A line is in the file before its answer is handed out. It is synced behind that: `sync_behind.LATEST_S` later at most.
- A line that could not be written is owed. It is written before any other. Until then, and until all lines that could
  not be synced are, `check` fails, so that no further request is sent.
- A forked child makes logs of its own. What its parent has queued, and calls that were under way, are its parent's.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
from concurrent.futures import Future
from pathlib import Path
from typing import Final, TypeAlias

from nomyo._threads import submit_or_run
from nomyo._warn import warn
from nomyo.errors import SecurityError
from nomyo.exchange.workers import file_pool
from nomyo.trust.open_chain import OpenChain
from nomyo.trust.sync_behind import SyncBehind

KIND: Final = "nomyo audit 1"

Fault: TypeAlias = str | None


class AuditLog:
    """The audit log of this process in one file. Use `audit_log_at`.

    Args:
        path: The file, which is created with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chain = OpenChain(path, KIND)
        self._lock = threading.Lock()
        """Held for moments, and never while a line is written."""
        self._waiting: list[list[bytes]] = []
        self._outcome: Future[Fault] = Future()
        """Of all that wait; one for all of them, since making and ending a future takes longer than a line."""
        self._is_writing = False
        self._owed: list[bytes] = []
        self._is_sound = False
        """Whether the last line was written."""
        self._is_of_the_parent = False
        self._behind = SyncBehind(self._synced)

    def check(self) -> Future[Fault] | None:
        """Begin to find out whether a line can be written.

        Returns:
            As from `queue`; None if there is no doubt.
        """
        return None if self._is_sound and not self._chain.has_failed else self.queue([])

    def write(self, entries: list[bytes]) -> Future[Fault] | Fault:
        """Write lines in this thread, or queue them if they have to wait.

        Args:
            entries: The lines without their chain. If this is interrupted, they are written all the same.

        Returns:
            None if they are in the file, the reason if that failed, or a future as from `queue`.
        """
        if not self._is_sound or self._chain.has_failed or self._is_writing:
            return self.queue(entries)
        is_done = False
        try:
            is_done = self._chain.try_append(entries)
        except OSError:  # the other thread tries once more, and tells why it fails
            self._is_sound = False
        except BaseException:  # Ctrl-C
            if entries:
                self.queue(entries)
            raise
        return self._to_be_synced() if is_done else self.queue(entries)

    def queue(self, entries: list[bytes]) -> Future[Fault]:
        """Begin to write lines in another thread.

        Returns:
            A future that is done when they are in the file, or when that failed: its result says why.
        """
        if self._is_of_the_parent:
            return _failed("its client was made before the process forked")
        with self._lock:
            self._waiting.append(entries)
            outcome = self._outcome
            if self._is_writing:
                return outcome
            self._is_writing = True
        submit_or_run(file_pool, self._write_waiting)
        return outcome

    def hurry(self) -> None:
        """Sync what was written as soon as possible, without waiting for that."""
        self._behind.hurry()

    def sync(self) -> None:
        """Sync what was written, and warn if that fails: at the end, no request is left that could be refused."""
        if sys.is_finalizing():  # the thread that syncs may have been stopped midway
            return
        fault = self._synced()
        if fault is not None:
            warn(f"audit_log: the last lines of {self._path} may be lost ({fault})", stacklevel=2)

    def leave_to_the_parent(self) -> None:
        """Write nothing more: this is a forked child, and a call that it ends is still under way in its parent."""
        self._is_of_the_parent = True
        self._is_sound = False
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self._chain.close()

    def _write_waiting(self) -> None:
        """Write group after group, until no line waits."""
        while True:
            with self._lock:
                group, self._waiting = self._waiting, []
                outcome, self._outcome = self._outcome, Future()
            fault: Fault = "writing it was interrupted"
            try:
                fault = self._write([entry for entries in group for entry in entries])
            except BaseException:  # Ctrl-C, if the system gave no thread: whoever waits for the group is told
                self._is_writing = False
                raise
            finally:
                self._is_sound = fault is None
                outcome.set_result(fault)
            with self._lock:
                if not self._waiting:
                    self._is_writing = False
                    return

    def _write(self, group: list[bytes]) -> Fault:
        """Write the lines that are owed and those of a group; return why that failed."""
        self._owed += group
        if self._chain.has_failed and (fault := self._synced()) is not None:
            return fault
        try:
            self._chain.append(self._owed)  # none at the first check, which finds a file of another form
        except (OSError, SecurityError) as error:
            return str(error)
        self._owed = []
        return self._to_be_synced()

    def _to_be_synced(self) -> Fault:
        """Have what was written synced behind; or now, if too much waits for it."""
        if self._chain.is_full:
            return self._synced()
        self._behind.wake()
        return None

    def _synced(self) -> Fault:
        try:
            self._chain.sync()
        except OSError as error:
            return f"what was written could not be synced: {error}"
        return None


def _failed(fault: str) -> Future[Fault]:
    outcome: Future[Fault] = Future()
    outcome.set_result(fault)
    return outcome


_logs: dict[str, AuditLog] = {}
_logs_lock = threading.Lock()


def audit_log_at(path: str) -> AuditLog:
    """Return the audit log in a file: the same object for all clients of this process.

    Args:
        path: The file, as an absolute path.
    """
    with _logs_lock:
        return _logs.setdefault(path, AuditLog(Path(path)))


def _sync_logs() -> None:
    for log in [*_logs.values()]:
        log.sync()


def _forget_logs() -> None:
    global _logs_lock
    for log in _logs.values():
        log.leave_to_the_parent()
    _logs.clear()
    _logs_lock = threading.Lock()  # another thread of the parent may have held it


atexit.register(_sync_logs)  # after the threads that write were joined
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_logs)
