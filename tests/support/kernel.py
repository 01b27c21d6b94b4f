"""What the kernel says of this process's memory, held against what nomyo reports; for programs of their own too."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nomyo
from nomyo import SecureBuffer, _core

PAGE = _core.memory_status()["page_size"]
# A SecureBuffer's pages hold its content and a canary of 16 bytes in front of it.
CANARY_BYTES = 16


@dataclass
class Mapping:
    """A stretch of memory as /proc/self/smaps has it (proc_pid_smaps(5))."""

    start: int
    end: int
    permissions: str
    locked_bytes: int = 0
    flags: frozenset[str] = frozenset()

    @property
    def size_bytes(self) -> int:
        return self.end - self.start

    @property
    def locked(self) -> bool:
        return "lo" in self.flags


def mappings() -> list[Mapping]:
    found: list[Mapping] = []
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if header := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line):
            found.append(Mapping(int(header[1], 16), int(header[2], 16), header[3]))
        elif line.startswith("Locked:"):
            found[-1].locked_bytes = int(line.split()[1]) * 1024
        elif line.startswith("VmFlags:"):
            found[-1].flags = frozenset(line.split()[1:])
    return found


def locked_bytes() -> int:
    """Return VmLck: what counts against the limit."""
    figure = re.search(r"VmLck:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert figure is not None
    return int(figure[1]) * 1024


def pages_of(buffer: SecureBuffer) -> int:
    """Return the bytes of pages that a buffer takes."""
    return -(-(len(buffer) + CANARY_BYTES) // PAGE) * PAGE


def assert_reports_are_true(buffers: Sequence[SecureBuffer] = (), *, others_bytes: int = 0) -> nomyo.ProtectionInfo:
    """Hold every figure that nomyo reports against the kernel's, page by page.

    Args:
        buffers: All SecureBuffers that are open.
        others_bytes: Bytes of pages of the caller's own that are locked: they lie in no memory of the core's.
    """
    status, memory, vm_lck = _at_rest()
    # Nothing else in a Python process asks to be left out of core dumps. A buffer that has no view is untouchable; any
    # other untouchable pages hold nothing.
    own = [mapping for mapping in memory if "dd" in mapping.flags and _holds_anything(mapping, buffers)]
    locked = sum(mapping.size_bytes for mapping in own if mapping.locked)
    unlocked = sum(mapping.size_bytes for mapping in own if not mapping.locked)
    in_buffers = sum(pages_of(buffer) for buffer in buffers if buffer.locked)
    beside_buffers = sum(pages_of(buffer) for buffer in buffers if not buffer.locked)

    assert vm_lck == status["locked_bytes"] + in_buffers + others_bytes
    assert locked == sum(mapping.locked_bytes for mapping in own) == status["locked_bytes"] + in_buffers
    # Chunks that are open, not locked and free are no unlocked memory that anybody uses.
    idle = unlocked - beside_buffers - status["unlocked_bytes"]
    assert 0 <= idle < 8 * 256 * 1024
    for buffer in buffers:
        (mapping,) = (mapping for mapping in own if mapping.start <= buffer.address < mapping.end)
        assert mapping.locked is buffer.locked

    info = nomyo.get_memory_protection_info()
    limit = status["limit_bytes"]
    assert info.can_lock is (limit < 0 or vm_lck + PAGE <= limit)
    assert limit < 0 or vm_lck <= limit
    assert info.method == ("mlock" if info.can_lock or status["locked_bytes"] else "zero-only")
    if info.is_platform_secure:
        assert (info.can_lock, status["unlocked_bytes"]) == (True, 0)
    return info


def _holds_anything(mapping: Mapping, buffers: Sequence[SecureBuffer]) -> bool:
    is_of_buffer = any(mapping.start <= buffer.address < mapping.end for buffer in buffers)
    return mapping.permissions.startswith("rw") or mapping.locked or is_of_buffer


def _at_rest() -> tuple[dict[str, int], list[Mapping], int]:
    """Return figures that belong together: background threads may open and close memory meanwhile."""
    for _ in range(100):
        before, vm_lck, memory = _core.memory_status(), locked_bytes(), mappings()
        if (before, vm_lck) == (_core.memory_status(), locked_bytes()):
            return before, memory, vm_lck
        time.sleep(0.02)
    raise AssertionError("the memory does not come to rest")


@contextmanager
def watched(limit_bytes: int | None) -> Iterator[None]:
    """Hold what can be said at any moment, while the block runs in this thread and others."""
    wrong: list[str] = []
    looks = 0
    ended = threading.Event()

    def watch() -> None:
        nonlocal looks
        over = False
        while not over:
            over = ended.wait(0.002)  # the last look is at the end: a request may take less than a wait
            looks += 1
            info, status, vm_lck = nomyo.get_memory_protection_info(), _core.memory_status(), locked_bytes()
            if limit_bytes is None:
                continue
            if vm_lck > limit_bytes or status["locked_bytes"] > limit_bytes:
                wrong.append(f"{vm_lck} and {status['locked_bytes']} bytes are locked under {limit_bytes}")
            if info.method != ("mlock" if limit_bytes else "zero-only"):
                wrong.append(f"{info.method} under {limit_bytes}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    assert looks > 0
    assert not wrong, wrong[0]
