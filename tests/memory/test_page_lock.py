"""PageLock: a caller's own buffer, held in memory and at its size."""

from __future__ import annotations

import array
import mmap
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nomyo import SecureBuffer, _core

PAGE = mmap.PAGESIZE
LOCKING = pytest.mark.skipif(
    sys.platform != "linux" or not _core.can_lock(), reason="locks pages, and reads /proc/self/smaps"
)


@pytest.fixture
def pages() -> Iterator[memoryview]:
    """Four pages of their own, which share with nothing else."""
    with mmap.mmap(-1, 4 * PAGE) as mapping, memoryview(mapping) as view:
        yield view


def locked_bytes(view: Any) -> int:
    """Bytes that are locked of the mapping in which a buffer lies, as the kernel has it."""
    import ctypes

    address = ctypes.addressof(ctypes.c_char.from_buffer(view))
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if bounds := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            start, end = (int(bound, 16) for bound in bounds.groups())
            inside = start <= address < end
        elif inside and line.startswith("Locked:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the buffer lies in no mapping")


@LOCKING
def test_pages_are_locked_until_release(pages: memoryview) -> None:
    lock = _core.PageLock(pages[PAGE - 1 : PAGE + 1])
    assert lock.locked
    assert locked_bytes(pages) == 2 * PAGE
    lock.release()
    assert not lock.locked
    assert locked_bytes(pages) == 0
    lock.release()


@LOCKING
def test_page_under_two_locks_stays_locked_until_the_last_release(pages: memoryview) -> None:
    first, second = _core.PageLock(pages[: PAGE + 1]), _core.PageLock(pages[PAGE : 3 * PAGE])
    assert locked_bytes(pages) == 3 * PAGE
    first.release()
    assert second.locked
    assert locked_bytes(pages[PAGE:]) == 2 * PAGE
    second.release()
    assert locked_bytes(pages) == 0


@LOCKING
def test_lock_that_is_dropped_is_released(pages: memoryview) -> None:
    lock = _core.PageLock(pages)
    assert locked_bytes(pages) == 4 * PAGE
    del lock
    assert locked_bytes(pages) == 0


@LOCKING
def test_without_lock_the_buffer_is_only_held(pages: memoryview) -> None:
    lock = _core.PageLock(pages, lock=False)
    assert not lock.locked
    assert locked_bytes(pages) == 0
    pages[0] = 1
    lock.wipe()
    assert pages[0] == 0
    lock.release()


@pytest.mark.parametrize("lock", [True, False])
def test_size_cannot_change_meanwhile(lock: bool) -> None:
    buffer = bytearray(b"secret" * 1000)
    held = _core.PageLock(buffer, lock=lock)
    with pytest.raises(BufferError):
        buffer.clear()
    buffer[0] = 0x53
    held.release()
    buffer.clear()


@pytest.mark.parametrize(
    "source",
    [bytearray(b"secret"), memoryview(bytearray(b"secret")), array.array("B", b"secret"), SecureBuffer(b"secret")],
)
@pytest.mark.parametrize("lock", [True, False])
def test_wipe_overwrites_the_buffer(source: Any, lock: bool) -> None:
    held = _core.PageLock(source, lock=lock)
    memoryview(source)[:] = b"secret"
    held.wipe()
    assert bytes(source) == bytes(6)
    held.release()
    with pytest.raises(ValueError, match="released"):
        held.wipe()


@pytest.mark.parametrize(
    "source",
    [
        b"bytes",
        memoryview(b"bytes"),
        memoryview(bytearray(8)).toreadonly(),
        memoryview(bytearray(8))[::2],
        "text",
        5,
        None,
        [1],
    ],
    ids=["bytes", "view of bytes", "read-only view", "view with gaps", "str", "int", "None", "list"],
)
def test_what_cannot_be_written_to_is_a_type_error(source: Any) -> None:
    with pytest.raises(TypeError, match="a writable, contiguous buffer is needed"):
        _core.PageLock(source)


def test_empty_buffer_can_be_held() -> None:
    lock = _core.PageLock(bytearray())
    lock.wipe()
    lock.release()


@LOCKING
@pytest.mark.parametrize("of_view", [True, False])
def test_secure_buffer_stays_locked_when_its_page_lock_is_released(of_view: bool) -> None:
    buffer = SecureBuffer(b"secret")
    assert buffer.lock()
    lock = _core.PageLock(buffer.data if of_view else buffer)
    assert lock.locked
    with pytest.raises(BufferError):
        buffer.close()
    lock.release()
    assert buffer.locked
    assert locked_bytes(buffer) == PAGE
    buffer.close()


def test_page_lock_of_a_closed_buffer_is_refused() -> None:
    buffer = SecureBuffer(b"secret")
    buffer.close()
    with pytest.raises(ValueError, match="closed"):
        _core.PageLock(buffer)
