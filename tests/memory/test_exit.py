"""At exit the keys and buffers that nobody disposed of are wiped: searched for from outside, at the last moment."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nomyo.serve.router.running import RunningRouter
from support.last_moment import LastMoment, memory_of

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")

MAKE = """
import asyncio, atexit, gc, os, signal, sys, threading, warnings
import nomyo
from nomyo import _core
warnings.simplefilter("ignore", UserWarning)
url, key_dir, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
buffer = nomyo.SecureBuffer(64)
view = buffer.data
for index in range(64):
    view[index] = (seed * (index + 1) >> 5) & 255
chat = nomyo.SyncSecureChatCompletion(url, True, key_dir=key_dir)
def ask():
    return chat.create(model="m", messages=[{"role": "user", "content": "Hello"}]).choices[0].message.content
assert ask() == "Hello"
sys.stdin.readline()
"""
SEED = 0x5EED5EED1234567


@dataclass(frozen=True)
class Found:
    """What was found in a process at its last moment, and how it ended."""

    key: bool
    content: bool
    status: int
    output: str


def secrets_of(key_directory: Path) -> list[bytes]:
    """The numbers of the private key, as they may lie in memory: from the last limb to the first."""
    private = serialization.load_pem_private_key((key_directory / "private_key.pem").read_bytes(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    numbers = private.private_numbers()
    return [
        number.to_bytes(256, order)[:64] if order == "little" else number.to_bytes(size, order)[:64]
        for number, size in ((numbers.d, 256), (numbers.p, 128), (numbers.q, 128))
        for order in ("little", "big")
    ]


def content() -> bytes:
    return bytes((SEED * (index + 1) >> 5) & 255 for index in range(64))


def at_the_end_of(program: str, router: RunningRouter, key_directory: Path) -> Found:
    """Run a program behind `MAKE` and search it when it ends."""
    with start(program, router, key_directory) as child:
        with LastMoment(child.pid) as end:
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
            end.wait()
            memory = end.memory()
        output, said = child.communicate(timeout=30)
    return Found(has_key(memory, key_directory), has_content(memory), child.returncode, output + said)


def start(program: str, router: RunningRouter, key_directory: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MAKE + program, router.url, str(key_directory), str(SEED)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def has_key(memory: list[bytes], key_directory: Path) -> bool:
    secrets = secrets_of(key_directory)
    return any(secret in part for part in memory for secret in secrets)


def has_content(memory: list[bytes]) -> bool:
    return any(content() in part for part in memory)


WAYS_OUT = {
    "end of the program": "",
    "sys.exit": "sys.exit(0)",
    "leaked objects": "import ctypes\nfor thing in (chat, buffer): ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))",
    "leaked native key": "import ctypes\nleaked = _core.load_key_pair(key_dir + '/private_key.pem')[0]\n"
    "ctypes.pythonapi.Py_IncRef(ctypes.py_object(leaked))",
    "exit(3) without Python's end": "import ctypes; ctypes.CDLL(None).exit(0)",
    "async client": "del chat\nchat = nomyo.SecureChatCompletion(url, True, key_dir=key_dir)\n"
    "asyncio.run(chat.create(model='m', messages=[{'role': 'user', 'content': 'x'}]))",
    "own handler that asks": "atexit.register(lambda: print(ask()))",
    "daemon thread that asks": "threading.Thread(target=lambda: [ask() for _ in iter(int, 1)], daemon=True).start()\n"
    "import time; time.sleep(0.3)",
    "daemon threads that seal and open": "key = _core.PrivateKey.generate(2048)\n"
    "def work():\n"
    "    while True: _core.open_package(_core.seal({'a': 'b' * 100_000}, key.public_key), key)\n"
    "for _ in range(3): threading.Thread(target=work, daemon=True).start()\n"
    "import time; time.sleep(0.3)",
    "daemon thread that generates": "generate = _core.PrivateKey.generate\n"
    "threading.Thread(target=generate, args=(4096,), daemon=True).start()",
    "leaked native key, and a daemon thread that generates": "import ctypes\n"
    "leaked = _core.load_key_pair(key_dir + '/private_key.pem')[0]\n"
    "ctypes.pythonapi.Py_IncRef(ctypes.py_object(leaked))\n"
    "threading.Thread(target=_core.PrivateKey.generate, args=(4096,), daemon=True).start()",
    "daemon thread with a password": "key = _core.PrivateKey.generate(2048)\n"
    "threading.Thread(target=key.to_pem, args=('a long password',), daemon=True).start()",
    "client whose key is being made": "nomyo.SyncSecureChatCompletion(url, True, key_dir=None)",
    "rotation under way": "options = dict(key_dir=None, key_rotation_interval=0.2)\n"
    "rotating = nomyo.SyncSecureChatCompletion(url, True, **options)\n"
    "import time; time.sleep(0.5)",
    "daemon thread that reads a pipe": "pipe = f'{key_dir}/../pipe{os.getpid()}'\nos.mkfifo(pipe)\n"
    "threading.Thread(target=nomyo.SecureBuffer.from_file, args=(pipe,), daemon=True).start()\n"
    "import time; time.sleep(0.1)",
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_nothing_is_left_at_exit(router: RunningRouter, key_directory: Path, way: str) -> None:
    found = at_the_end_of(WAYS_OUT[way], router, key_directory)
    said = "Hello\n" if "own handler" in way else ""
    assert found == Found(key=False, content=False, status=0, output=said)


@pytest.mark.parametrize("raised", [RuntimeError, KeyboardInterrupt])
def test_nothing_is_left_by_an_exception(
    router: RunningRouter, key_directory: Path, raised: type[BaseException]
) -> None:
    status = 1 if raised is RuntimeError else -signal.SIGINT
    found = at_the_end_of(f"raise {raised.__name__}('over')", router, key_directory)
    assert (found.key, found.content, found.status) == (False, False, status)
    assert found.output.endswith(f"{raised.__name__}: over\n")


def test_forked_child_wipes_its_copy_and_leaves_that_of_the_parent(router: RunningRouter, key_directory: Path) -> None:
    program = "child = os.fork()\nif child: print(child, flush=True)\nsys.stdin.readline()\nif child: os.wait()"
    with start(program, router, key_directory) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        parent.stdin.write("\n")
        parent.stdin.flush()
        with LastMoment(int(parent.stdout.readline())) as end:
            inherited = memory_of(end.pid)
            parent.stdin.close()
            end.wait()
            memory, of_parent = end.memory(), memory_of(parent.pid)
        assert parent.wait(timeout=30) == 0
    assert has_key(inherited, key_directory), "the search does not find what is there"
    assert not has_content(inherited), "the kernel clears the pages of buffers in a child"
    assert not has_key(memory, key_directory)
    assert has_key(of_parent, key_directory)
    assert has_content(of_parent)


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGTERM)"])
def test_search_finds_what_is_left_where_a_process_does_not_end_through_exit(
    router: RunningRouter, key_directory: Path, end: str
) -> None:
    status = 0 if "_exit" in end else -signal.SIGTERM
    assert at_the_end_of(end, router, key_directory) == Found(key=True, content=True, status=status, output="")
