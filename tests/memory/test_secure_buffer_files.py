"""`SecureBuffer.from_file` on files of every kind: what is there is read whole, what cannot be read leaves nothing."""

from __future__ import annotations

import gc
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomyo import SecureBuffer
from support.kernel import locked_bytes
from support.process import LIMITED, output_of, under_memlock_limit, without

SECRET = b"the patient's record"


def held() -> tuple[int, int]:
    """Return locked bytes, and open files."""
    gc.collect()
    return locked_bytes(), len(os.listdir("/proc/self/fd"))


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    with SecureBuffer(1):  # the first makes what all share
        pass
    before = held()
    yield
    assert held() == before


@pytest.mark.parametrize("kind", ["missing", "directory", "null in the name"])
def test_what_cannot_be_read_is_named_and_leaves_nothing(tmp_path: Path, kind: str) -> None:
    path = {"missing": tmp_path / "missing", "directory": tmp_path, "null in the name": tmp_path / "a\0b"}[kind]
    for _ in range(20):
        with pytest.raises((OSError, ValueError)) as caught:
            SecureBuffer.from_file(path)
        if kind != "null in the name":
            assert isinstance(caught.value, OSError)
            assert caught.value.filename == str(path)


def test_file_of_another_user_is_a_permission_error(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    path.chmod(0)
    program = (
        "import sys\n"
        "from nomyo import SecureBuffer\n"
        "try:\n    SecureBuffer.from_file(sys.argv[1])\n"
        "except PermissionError as error:\n    print(error.filename)\n"
    )
    # Root reads everything while it has these capabilities.
    dropped = [*LIMITED, *without("dac_override", "dac_read_search")]
    assert output_of(program, str(path), before=dropped) == f"{path}\n"


def test_link_is_followed_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    (tmp_path / "link").symlink_to("secret")
    with SecureBuffer.from_file(tmp_path / "link") as buffer:
        assert buffer == SECRET


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 300_000])
def test_pipe_is_read_to_its_end(tmp_path: Path, size: int) -> None:
    content = (SECRET * (size // len(SECRET) + 1))[:size]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    with SecureBuffer.from_file(pipe) as buffer:
        writer.join()
        assert len(buffer) == size
        assert buffer == content


def test_file_that_tells_no_size_is_read_whole() -> None:
    with SecureBuffer.from_file("/proc/self/cmdline") as buffer:
        assert buffer == Path("/proc/self/cmdline").read_bytes()


def test_file_that_grows_or_shrinks_meanwhile_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"x" * 50_000)
    over = threading.Event()

    def change() -> None:
        with path.open("r+b") as file:
            while not over.is_set():
                for size in (10, 200_000, 50_000):
                    file.truncate(size)

    writer = threading.Thread(target=change)
    writer.start()
    try:
        for _ in range(200):
            with SecureBuffer.from_file(path) as buffer:
                assert set(bytes(buffer)) <= set(b"x\0")
                assert len(buffer) <= 200_000
    finally:
        over.set()
        writer.join()


def test_file_larger_than_memory_is_a_memory_error(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.truncate(1 << 40)  # sparse
    program = (
        "import resource, sys\n"
        "from nomyo import SecureBuffer\n"
        "resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))\n"
        "try:\n    SecureBuffer.from_file(sys.argv[1])\n"
        "except MemoryError as error:\n    print(error)\n"
    )
    assert output_of(program, str(path)) == "out of memory\n"


@pytest.mark.parametrize("moment", ["opening", "reading", "endless"])
def test_reading_can_be_interrupted(tmp_path: Path, moment: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = f"""
import os, signal, sys, threading, time
from nomyo import SecureBuffer
path = {str(pipe)!r}
writer = os.open(path, os.O_RDWR) if {moment != "opening"} else None
def write_on():
    while {moment == "endless"}:
        os.write(writer, bytes(1000))
        time.sleep(0.001)
threading.Thread(target=write_on, daemon=True).start()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background inherits that it is ignored
threading.Timer(0.3, signal.pthread_kill, (threading.get_ident(), signal.SIGINT)).start()
try:
    SecureBuffer.from_file(path)
except KeyboardInterrupt:
    print("interrupted")
"""
    # What writes without end is refused at 64 MiB, which take it a minute here.
    assert output_of(program, before=under_memlock_limit(64 * 1024)) == "interrupted\n"


def test_handler_that_raises_nothing_lets_the_reading_go_on(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = f"""
import os, signal, threading
from nomyo import SecureBuffer
handled = threading.Event()
signal.signal(signal.SIGALRM, lambda *_: handled.set())
reader = threading.get_ident()
def write():
    with open({str(pipe)!r}, "wb", buffering=0) as file:
        for _ in range(10):
            file.write(b"part ")
            handled.clear()
            while not handled.wait(0.05):  # again, where it came just before the reader began to wait
                signal.pthread_kill(reader, signal.SIGALRM)
threading.Thread(target=write).start()
with SecureBuffer.from_file({str(pipe)!r}) as buffer:
    print(bytes(buffer) == b"part " * 10)
"""
    assert output_of(program) == "True\n"
