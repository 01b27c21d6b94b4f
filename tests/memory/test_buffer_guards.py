"""SecureBuffer's guards, tried from native code (ctypes) in processes that die of it."""

from __future__ import annotations

import signal
import sys

import pytest

from support.process import run_python

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="ends by a signal")

# The buffer is closed only when no view of it is left.
END = "view.release()\nbuffer.close()"
SIZES = [0, 1, 15, 16, 17, 4095, 4096, 4097, 1 << 20]
PROGRAM = """
import ctypes, faulthandler, signal, sys, resource
from nomyo import SecureBuffer
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
size = int(sys.argv[1])
buffer = SecureBuffer(size)
first, end = buffer.address, buffer.address + size
view = buffer.data  # while there is one, native code can touch the content
ctypes.memset(first, 0xE1, size)
assert ctypes.string_at(first, size) == bytes(buffer) == bytes([0xE1]) * size
print("alive", flush=True)
"""


def ends_by(program: str, size: int) -> tuple[int, str, str]:
    finished = run_python(PROGRAM + program + "\nprint('survived')", str(size))
    return finished.returncode, finished.stdout, finished.stderr


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "access",
    [
        "ctypes.memset(end, 1, 1)",
        "ctypes.string_at(end, 1)",
        "ctypes.memset(first, 1, size + 1)",
        "ctypes.memmove(first + size // 2, bytes(size + 1), size - size // 2 + 1)",
    ],
)
def test_access_one_byte_beyond_the_end_faults_at_once(size: int, access: str) -> None:
    assert ends_by(access, size)[:2] == (-signal.SIGSEGV, "alive\n")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("access", ["ctypes.memset(at, 1, 1)", "ctypes.string_at(at, 1)"])
def test_access_a_page_before_the_beginning_faults(size: int, access: str) -> None:
    # The last page but the guard is the one that the canary lies in.
    program = f"page = resource.getpagesize()\nat = (first - 16) // page * page - 1\n{access}"
    assert ends_by(program, size)[:2] == (-signal.SIGSEGV, "alive\n")


@pytest.mark.parametrize("end", ["buffer.close()", "del buffer", "with buffer: pass"])
@pytest.mark.parametrize("size", SIZES)
def test_write_one_byte_before_the_beginning_ends_the_process_when_the_buffer_goes(size: int, end: str) -> None:
    program = f"ctypes.memset(first - 1, ctypes.string_at(first - 1, 1)[0] ^ 1, 1)\nview.release()\n{end}"
    status, output, said = ends_by(program, size)
    assert (status, output) == (-signal.SIGSEGV, "alive\n")
    assert "written to in front of its content" in said


def test_every_byte_of_the_canary_counts() -> None:
    for before in range(1, 17):
        program = f"at = first - {before}\nctypes.memset(at, ctypes.string_at(at, 1)[0] ^ 128, 1)\n{END}"
        assert ends_by(program, 40)[:2] == (-signal.SIGSEGV, "alive\n"), before


@pytest.mark.parametrize(
    "handler",
    ["faulthandler.enable()", "signal.signal(signal.SIGSEGV, signal.SIG_IGN)", "signal.signal(signal.SIGSEGV, print)"],
)
def test_no_handler_swallows_a_broken_canary(handler: str) -> None:
    program = f"{handler}\nctypes.memset(first - 8, 1, 8)\n{END}"
    assert ends_by(program, 40)[:2] == (-signal.SIGSEGV, "alive\n")


def test_broken_canary_shows_no_content() -> None:
    program = f"ctypes.memset(first, ord('s'), size)\nctypes.memset(first - 8, 1, 8)\n{END}"
    assert "sss" not in ends_by(program, 40)[2]
