"""Holds a process at its last moment: everything has run, and its memory is still there (ptrace(2))."""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from typing import Self

from support.memory_scan import ResidentPages, read_whole

PTRACE_CONT = 7
PTRACE_DETACH = 17
PTRACE_SEIZE = 0x4206
PTRACE_O_TRACEEXIT = 0x40
PTRACE_EVENT_EXIT = 6
WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


class LastMoment:
    """The end of a process that this thread watches. The process stays there until the block is left, however it is."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def __enter__(self) -> Self:
        self._ptrace(PTRACE_SEIZE, PTRACE_O_TRACEEXIT)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):  # it ended unseen
            self._ptrace(PTRACE_DETACH, 0)

    def wait(self) -> None:
        """Return when the process is about to end; what else stops it goes on."""
        while True:
            _, status = os.waitpid(self.pid, WALL)
            assert os.WIFSTOPPED(status), f"ended unseen, with status {status}"
            if status >> 8 == signal.SIGTRAP | PTRACE_EVENT_EXIT << 8:
                return
            self._ptrace(PTRACE_CONT, 0 if status >> 16 else os.WSTOPSIG(status))

    def memory(self) -> list[bytes]:
        """What it has in RAM or swap, range by range."""
        return memory_of(self.pid)

    def _ptrace(self, request: int, data: int) -> None:
        if _libc.ptrace(request, self.pid, None, data) == -1:
            raise OSError(ctypes.get_errno(), "ptrace")


def memory_of(pid: int) -> list[bytes]:
    """Return what a process has in RAM or swap, range by range."""
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        return [read_whole(memory.fileno(), start, end, mapping) for mapping, start, end in ResidentPages(pid).ranges()]
