"""The audit log: a chained file (`chain.py`) with a line for each request, written off the event loop and in groups.

Rules:

- One `AuditLog` for each file, whatever the number of clients: lines that gather while one group is written go into the
  next. Other processes append to the same file, under its lock.
- A sync takes 0.2 ms of processor time. So there is one for each `GATHERED_S` at most, while more calls are under way
  than wait for their lines. Once all wait, or if the last sync was long ago, there is nothing to gather.
- A line that could not be written is owed. It is written before any other, and until then `check` fails, so that no
  further request is sent.
- A forked child makes logs of its own. What its parent has gathered, and calls that were under way, are its parent's.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

from nomyo._threads import submit_or_run
from nomyo.errors import SecurityError
from nomyo.exchange.workers import file_pool
from nomyo.trust.chain import locked_chain

KIND: Final = "nomyo audit 1"
GATHERED_S: Final = 0.05
"""The longest time for which a line waits for others."""

Fault: TypeAlias = str | None
Entry: TypeAlias = Callable[[], Mapping[str, Any]]


class AuditLog:
    """The audit log of this process in one file. Use `audit_log_at`.

    Args:
        path: The file, which is created with the first line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Condition(threading.Lock())
        """Held for moments, and never while a file is written. Notified when every call that is under way waits."""
        self._under_way = 0
        self._written_at_s = -GATHERED_S
        self._waiting: list[Entry | None] = []
        self._outcome: Future[Fault] = Future()
        """Of the lines that wait; one for all of them, since making and ending a future takes longer than a line."""
        self._is_writing = False
        self._owed: list[Mapping[str, Any]] = []
        self._is_sound = False
        """Whether the last group was written."""
        self._is_of_the_parent = False

    def check(self) -> Future[Fault] | None:
        """Begin to find out whether a line can be written.

        Returns:
            As from `add`; None if the last group was written.
        """
        return None if self._is_sound else self._add(None)

    @contextmanager
    def call(self) -> Iterator[None]:
        """Count a call as under way for a block, in which its lines are added."""
        with self._lock:
            self._under_way += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1
                self._wake()

    def add(self, entry: Entry) -> Future[Fault]:
        """Begin to write a line.

        Args:
            entry: Makes the line's content, in the thread that writes it.

        Returns:
            A future that is done when the line is on the disk, or when that failed: its result says why.
        """
        return self._add(entry)

    def leave_to_the_parent(self) -> None:
        """Write nothing more: this is a forked child, and a call that it ends is still under way in its parent."""
        self._is_of_the_parent = True
        self._lock = threading.Condition(threading.Lock())  # another thread of the parent may have held it

    def _add(self, entry: Entry | None) -> Future[Fault]:
        if self._is_of_the_parent:
            return _failed("its client was made before the process forked")
        with self._lock:
            self._waiting.append(entry)
            outcome = self._outcome
            if self._is_writing:
                self._wake()
                return outcome
            self._is_writing = True
        submit_or_run(file_pool, self._write_waiting)
        return outcome

    def _write_waiting(self) -> None:
        """Write group after group, until no line waits."""
        while True:
            with self._lock:
                self._lock.wait_for(self._has_gathered, self._written_at_s + GATHERED_S - time.monotonic())
                group, self._waiting = self._waiting, []
                if not group:
                    self._is_writing = False
                    return
                outcome, self._outcome = self._outcome, Future()
            self._written_at_s = time.monotonic()
            fault: Fault = "writing it was interrupted"
            try:
                fault = self._write(group)
            except BaseException:  # Ctrl-C, if the system gave no thread: whoever waits for the group is told
                self._is_writing = False
                raise
            finally:
                self._is_sound = fault is None
                outcome.set_result(fault)

    def _wake(self) -> None:
        if self._has_gathered():
            self._lock.notify()

    def _has_gathered(self) -> bool:
        return not self._waiting or len(self._waiting) >= self._under_way

    def _write(self, group: list[Entry | None]) -> Fault:
        """Write the lines that are owed and those of a group; return why that failed."""
        self._owed += [entry() for entry in group if entry is not None]
        try:
            with locked_chain(self._path, KIND) as chained:
                chained.append(self._owed)  # none at the first check, which finds a file of another form
        except (OSError, SecurityError) as error:
            return str(error)
        self._owed = []
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


def _forget_logs() -> None:
    global _logs_lock
    for log in _logs.values():
        log.leave_to_the_parent()
    _logs.clear()
    _logs_lock = threading.Lock()  # another thread of the parent may have held it


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_logs)
