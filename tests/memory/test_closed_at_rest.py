"""No code of the process can touch a SecureBuffer that nobody uses. With a view it is open, until the last is gone."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from nomyo import SecureBuffer, _core
from support.kernel import mappings
from support.process import output_of, run_python

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc, and ends by a signal")

SECRET = b"a secret of 24 bytes \x00\xff!"
PROGRAM = """
import ctypes, os, resource, sys, threading
import nomyo
from nomyo import SecureBuffer
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
buffer = SecureBuffer(b"a secret of 24 bytes....")
"""
HIDE = "nomyo.harden_process(hide_memory=True)\n"


def permissions(buffer: SecureBuffer) -> str:
    """Return what /proc/self/maps says of the page in which a buffer's content begins."""
    (found,) = (mapping for mapping in mappings() if mapping.start <= buffer.address < mapping.end)
    return found.permissions


def is_reading(thread: threading.Thread) -> bool:
    """Return whether a thread waits in read(2), which is call 0 on x86-64 and 63 on AArch64."""
    return Path(f"/proc/self/task/{thread.native_id}/syscall").read_text().split()[0] in ("0", "63")


def together(work: Callable[[], None]) -> None:
    """Run the same work in six threads."""
    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_buffer_is_open_while_a_view_is_held_and_closed_after_the_last() -> None:
    buffer = SecureBuffer(SECRET)
    assert permissions(buffer) == "---p"
    first, second = buffer.data, memoryview(buffer)[3:]
    assert permissions(buffer) == "rw-p"
    first.release()
    assert permissions(buffer) == "rw-p"
    assert second == SECRET[3:]
    second.release()
    assert permissions(buffer) == "---p"
    assert bytes(buffer) == SECRET
    assert permissions(buffer) == "---p"


def test_protect_tells_that_the_buffer_is_closed_and_refuses_while_a_view_is_held() -> None:
    buffer = SecureBuffer(SECRET)
    assert buffer.protect() is True
    view = buffer.data
    with pytest.raises(BufferError, match="a view of it is still held"):
        buffer.protect()
    assert view == SECRET
    view.release()
    assert buffer.protect() is True
    assert buffer == SECRET


def test_unlocked_gives_a_view_for_a_block() -> None:
    buffer = SecureBuffer(SECRET)
    with buffer.unlocked() as view:
        assert permissions(buffer) == "rw-p"
        assert view == SECRET
        view[0] = ord("A")
    assert permissions(buffer) == "---p"
    assert buffer == b"A" + SECRET[1:]
    with pytest.raises(ValueError, match="released"):
        view[0]


def test_unlocked_ends_with_an_exception_too() -> None:
    buffer = SecureBuffer(SECRET)
    with pytest.raises(KeyError), buffer.unlocked():
        raise KeyError
    assert buffer.protect()


def test_unlocked_tells_of_what_still_holds_its_view() -> None:
    def hold_and_raise(view: memoryview) -> None:
        held.append(_core.PageLock(view, lock=False))
        raise KeyError

    buffer = SecureBuffer(SECRET)
    held: list[_core.PageLock] = []
    with pytest.raises(BufferError), buffer.unlocked() as view:
        held.append(_core.PageLock(view, lock=False))
    assert permissions(buffer) == "rw-p"
    held.clear()
    view.release()
    with pytest.raises(KeyError), buffer.unlocked() as view:
        hold_and_raise(view)
    held.clear()
    view.release()
    assert permissions(buffer) == "---p"


def test_slice_that_outlives_the_block_keeps_the_buffer_open() -> None:
    buffer = SecureBuffer(SECRET)
    with buffer.unlocked() as view:
        part = view[3:]
    assert part == SECRET[3:]
    assert permissions(buffer) == "rw-p"
    part.release()
    assert permissions(buffer) == "---p"


def test_blocks_of_unlocked_nest_and_one_of_them_is_entered_once() -> None:
    buffer = SecureBuffer(SECRET)
    block = buffer.unlocked()
    with buffer.unlocked() as outer, block as inner:
        assert inner == outer == SECRET
        with pytest.raises(RuntimeError, match="entered already"):
            block.__enter__()
    with block as again:
        assert again == SECRET
    assert buffer.protect()
    with pytest.raises(TypeError, match="cannot be pickled or copied"):
        pickle.dumps(block)
    block.__exit__(None, None, None)


def test_view_keeps_a_buffer_alive_that_nobody_else_holds() -> None:
    with SecureBuffer(SECRET).unlocked() as view:
        gc.collect()
        assert view == SECRET
        part = view[3:]
    gc.collect()
    assert part == SECRET[3:]
    part.release()


def test_block_of_unlocked_that_threads_enter_at_once_serves_one_at_a_time() -> None:
    buffer = SecureBuffer(SECRET)
    block, start = buffer.unlocked(), threading.Barrier(6)
    entered: list[int] = []
    faults: list[memoryview] = []

    def enter() -> None:
        start.wait()
        for _ in range(300):
            try:
                view = block.__enter__()
            except RuntimeError:
                continue
            entered.append(1)
            if view != SECRET:
                faults.append(view)
            block.__exit__(None, None, None)

    together(enter)
    assert not faults
    assert entered
    assert buffer.protect()


def test_view_that_another_thread_reads_into_outlasts_its_block() -> None:
    buffer = SecureBuffer(5)
    reading, writing = os.pipe()

    def read_into(view: memoryview) -> None:
        with open(reading, "rb", buffering=0) as file:
            file.readinto(view)

    block = buffer.unlocked()
    view = block.__enter__()
    reader = threading.Thread(target=read_into, args=[view])
    reader.start()
    while not is_reading(reader):
        reader.join(0.001)
    with pytest.raises(BufferError):
        block.__exit__(None, None, None)
    with pytest.raises(BufferError):
        buffer.protect()
    with pytest.raises(BufferError):
        buffer.close()
    os.write(writing, b"later")
    os.close(writing)
    reader.join()
    assert bytes(view) == b"later"
    view.release()
    assert buffer.protect()
    assert buffer == b"later"


def test_uses_are_counted_across_threads() -> None:
    buffer, start = SecureBuffer(SECRET * 300), threading.Barrier(6)
    faults: list[object] = []

    def use() -> None:
        start.wait()
        for _ in range(500):
            with buffer.unlocked() as view:
                if bytes(view) != SECRET * 300 or buffer != view:
                    faults.append(view)

    together(use)
    assert not faults
    assert permissions(buffer) == "---p"


def test_file_that_is_read_lies_closed(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_bytes(SECRET * 1000)
    buffer = SecureBuffer.from_file(path)
    assert permissions(buffer) == "---p"
    with path.open("rb", buffering=0) as file:
        assert file.readinto(buffer) == len(buffer)
    assert permissions(buffer) == "---p"


@pytest.mark.parametrize("before", ["", HIDE], ids=["locked", "hidden"])
@pytest.mark.parametrize(
    "access",
    [
        "ctypes.string_at(buffer.address, 1)",
        "ctypes.memset(buffer.address, 1, 1)",
        "with buffer.unlocked(): ctypes.memset(buffer.address, 1, 1)\nctypes.memset(buffer.address, 1, 1)",
    ],
)
def test_stray_access_of_native_code_dies_by_sigsegv(before: str, access: str) -> None:
    finished = run_python(f"{PROGRAM}{before}print('alive', flush=True)\n{access}\nprint('survived')")
    assert (finished.returncode, finished.stdout) == (-signal.SIGSEGV, "alive\n"), finished.stderr


CHILD = """
view, closed = buffer.data, SecureBuffer(b"closed when the process forks")
pid = os.fork()
if pid == 0:
    try:
        closed.data
    except nomyo.SecurityError:
        zeros = bytes(view) == bytes(24)
        view.release()
        own = SecureBuffer(b"own")
        os._exit(0 if zeros and buffer.protect() and closed.protect() and own == b"own" and own.protect() else 1)
    os._exit(2)
assert os.waitpid(pid, 0)[1] == 0
assert view == b"a secret of 24 bytes...."
view.release()
assert buffer.protect() and closed == b"closed when the process forks"
"""


@pytest.mark.parametrize("before", ["", HIDE], ids=["locked", "hidden"])
def test_forked_child_has_closed_buffers_too(before: str) -> None:
    output_of(PROGRAM + before + CHILD)


def test_process_that_ends_wipes_closed_buffers() -> None:
    output_of(PROGRAM + "keep = [SecureBuffer(b'x' * 5000) for _ in range(20)]\nopened = keep[3].data\n")


@pytest.mark.parametrize("before", ["", HIDE], ids=["locked", "hidden"])
def test_limit_on_writable_memory_is_a_clear_error_and_no_crash(before: str) -> None:
    # Closed pages do not count against RLIMIT_DATA (getrlimit(2)), so opening them can exceed it.
    program = f"""
large = SecureBuffer(64 << 20)
{before}
def data_bytes():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (data_bytes() + (32 << 20), -1))
try:
    large.data[0] = 1
    print("open")
except MemoryError as error:
    print(error)
resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
large.data[0] = 1
"""
    said = output_of(PROGRAM + program)
    assert said == "open\n" if before else "RLIMIT_DATA" in said
