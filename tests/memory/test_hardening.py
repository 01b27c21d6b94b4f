"""What another process of the same user can do to a process, before `harden_process()` and after it."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import nomyo
from support.process import LIMITED, as_ordinary_user, output_of

# The test takes the place of a descendant, to which Yama's mode 1 would limit tracing (prctl(2), PR_SET_PTRACER).
PREPARE = """
import ctypes, os, resource, signal, sys, time, nomyo
ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)
text = ctypes.create_string_buffer(b"what nobody else may read")
"""
READY = "print(os.getpid(), ctypes.addressof(text), flush=True); sys.stdin.read()\n"
PLAIN = PREPARE + READY
HARDENED = PREPARE + "nomyo.harden_process(); nomyo.harden_process()\n" + READY
FORKED = PREPARE + "nomyo.harden_process()\nif os.fork():\n    os.wait(); sys.exit()\n" + READY
AFTER_EXECVE = f"""
import os, sys, nomyo
nomyo.harden_process()
program = {PLAIN.replace("sys.stdin", "print(*resource.getrlimit(resource.RLIMIT_CORE), flush=True); sys.stdin")!r}
os.execv(sys.executable, [sys.executable, "-c", program])
"""

ATTACK = """
import ctypes, errno, os, sys
pid, address = map(int, sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
WANTED = b"what nobody else may read"

class Piece(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("size", ctypes.c_size_t)]

def read_proc():
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        memory.seek(address)
        return memory.read(len(WANTED)) == WANTED

def read_vm():
    room = ctypes.create_string_buffer(len(WANTED))
    here, there = Piece(ctypes.addressof(room), len(WANTED)), Piece(address, len(WANTED))
    count = libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    return checked(count) == len(WANTED) and room.raw == WANTED

def attach():
    checked(libc.ptrace(16, pid, None, None))  # PTRACE_ATTACH
    os.waitpid(pid, 0x40000000)  # __WALL
    checked(libc.ptrace(17, pid, None, None))  # PTRACE_DETACH
    return True

def checked(answer):
    if answer < 0:
        raise OSError(ctypes.get_errno(), "")
    return answer

def outcome(attempt):
    try:
        return "done" if attempt() else "failed"
    except OSError as error:
        return "refused" if error.errno in (errno.EPERM, errno.EACCES) else errno.errorcode[error.errno]

print(*(outcome(attempt) for attempt in (read_proc, read_vm, attach)))
"""

CORE_PATTERN = Path("/proc/sys/kernel/core_pattern").read_text().strip()


def _admin_only_tracing() -> bool:
    """Whether Yama lets no ordinary user trace anything (Documentation/admin-guide/LSM/Yama.rst, modes 2 and 3)."""
    scope = Path("/proc/sys/kernel/yama/ptrace_scope")
    return scope.exists() and int(scope.read_text()) >= 2


@contextmanager
def running(program: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Run a program as an ordinary user; yields the words of its first line."""
    command = [*as_ordinary_user(), sys.executable, "-c", program]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().split()
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


def attacked(words: list[str]) -> str:
    return output_of(ATTACK, *words, before=[*as_ordinary_user()]).strip()


def test_ordinary_process_can_be_read_and_traced_by_its_user() -> None:
    """The control: what the next tests see refused works, unless the whole machine forbids it."""
    with running(PLAIN) as (_, words):
        assert attacked(words) == ("refused refused refused" if _admin_only_tracing() else "done done done")


@pytest.mark.parametrize("program", [HARDENED, FORKED], ids=["itself", "its-forked-child"])
def test_hardened_process_can_be_neither_read_nor_traced(program: str) -> None:
    with running(program) as (_, words):
        assert attacked(words) == "refused refused refused"


def test_execve_makes_a_process_traceable_again_but_dumps_stay_off() -> None:
    """What the documentation says of prctl(2), and why `harden_process` sets the limit as well."""
    with running(AFTER_EXECVE) as (process, words):
        assert process.stdout is not None
        assert process.stdout.readline().split() == ["0", "0"]
        assert attacked(words) == ("refused refused refused" if _admin_only_tracing() else "done done done")


def test_argument_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^hide_memory must be a bool, not int$"):
        nomyo.harden_process(1)  # type: ignore[arg-type]


@pytest.mark.outside("gdb")
@pytest.mark.parametrize(("program", "dumped"), [(PLAIN, not _admin_only_tracing()), (HARDENED, False)])
def test_gcore_takes_no_dump_of_a_hardened_process(program: str, dumped: bool) -> None:
    with running(program) as (_, words), _anyones_directory() as directory:
        command = [*as_ordinary_user(), "gcore", "-o", str(directory / "core"), words[0]]
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
        assert bool(list(directory.iterdir())) is dumped


@contextmanager
def _anyones_directory() -> Iterator[Path]:
    """A directory for an ordinary user to write to: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as path:
        os.chmod(path, 0o777)
        yield Path(path)


CONTENT = bytes((7 * i + 3) % 251 for i in range(64))
# The content is put together in the buffer itself, so that no Python object holds it.
CRASH = (
    PREPARE
    + """
buffer = nomyo.SecureBuffer(64)
for i in range(64):
    buffer.data[i] = (7 * i + 3) % 251
if sys.argv[1:]:
    nomyo.harden_process()
os.abort()
"""
)


def _crashed(directory: Path, *arguments: str) -> int:
    """Run a program that aborts, with core dumps as far as the hard limit allows; returns its wait status."""
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    limit = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    words = [*as_ordinary_user(), *LIMITED, f"--core={limit}:{limit}", sys.executable, "-c", CRASH, *arguments]
    child = os.posix_spawn("/bin/sh", ["sh", "-c", 'cd "$0" && exec "$@"', str(directory), *words], os.environ)
    status = os.waitpid(child, 0)[1]
    assert os.WTERMSIG(status) == signal.SIGABRT
    return status


def _dumps_can_be_written() -> bool:
    return CORE_PATTERN != "" and resource.getrlimit(resource.RLIMIT_CORE)[1] != 0


def test_crash_of_a_hardened_process_leaves_no_core_dump() -> None:
    with _anyones_directory() as directory:
        assert os.WCOREDUMP(_crashed(directory)) is _dumps_can_be_written()  # the control
    with _anyones_directory() as directory:
        assert not os.WCOREDUMP(_crashed(directory, "hardened"))
        assert not list(directory.iterdir())


@pytest.mark.skipif(
    not _dumps_can_be_written() or CORE_PATTERN[0] in "|@/", reason="core dumps are not written to where we could look"
)
def test_core_dump_of_an_ordinary_process_leaves_locked_memory_out() -> None:
    with _anyones_directory() as directory:
        _crashed(directory)
        (core,) = directory.iterdir()
        dump = core.read_bytes()
        assert b"what nobody else may read" in dump
        assert CONTENT not in dump
