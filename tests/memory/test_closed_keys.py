"""A private key at rest, seen from outside: it lies in pages that no code of its own process can touch."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from support.process import LIMITED, output_of, unmeasured

TESTS = str(Path(__file__).parents[1])
EPERM, ENOSYS = 1, 38

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc, and ends by a signal")

# It answers "use" with an operation, and another line with a read at the address that the line names.
PROGRAM = """
import ctypes, resource, sys
from nomyo import SecureBuffer, _core
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
with SecureBuffer(bytearray(bytes.fromhex(sys.stdin.readline()))) as pem:
    key = _core.PrivateKey.from_pem(pem)
package = _core.seal({"a": 1}, key.public_key)
print("ready", flush=True)
for line in sys.stdin:
    if line != "use\\n":
        ctypes.string_at(int(line), 1)
    assert _core.open_package(package, key)[0] == {"a": 1}
    print("used", flush=True)
"""

# Closed pages do not count against RLIMIT_DATA (getrlimit(2)), so opening them can exceed it.
LITTLE_DATA = """
import resource
from nomyo import _core
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
keys = [_core.PrivateKey.generate(2048) for _ in range(3)]
package = _core.seal({"a": 1}, keys[1].public_key)
resource.setrlimit(resource.RLIMIT_DATA, (1 << 20, -1))
try:
    _core.open_package(package, keys[1])
except MemoryError as error:
    print(error)
del keys[0]
"""
UNLIMITED_AGAIN = """
resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
print(_core.open_package(package, keys[0])[0])
"""

# What lies in locked pages without access is a key: there is no SecureBuffer.
CLOSED = """
import os, sys, threading, warnings
import nomyo
from nomyo import _core
from support.kernel import mappings
from support.refused_calls import refuse

def closed():
    return [mapping for mapping in mappings() if mapping.locked and mapping.permissions in ("---p", "---s")]

def works(key, package):
    return _core.open_package(package, key)[0] == {"a": 1}

key = _core.PrivateKey.generate(2048)
package = _core.seal({"a": 1}, key.public_key)
pem = bytes(key.to_pem())
assert len(closed()) == 1
"""
HARDEN_TWICE = """
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        nomyo.harden_process(hide_memory=True)
        assert len(closed()) == 1 and works(key, package)
later = _core.PrivateKey.from_pem(pem)
assert works(later, package) and len(closed()) == 2
print(len(caught), nomyo.get_memory_protection_info().hidden)
del key
assert len(closed()) == 1
child = os.fork()
if child == 0:
    try:
        works(later, package)
    except nomyo.SecurityError:
        own = _core.PrivateKey.from_pem(pem)
        assert works(own, package) and len(closed()) == 2
        os._exit(0)
    os._exit(1)
assert os.waitpid(child, 0)[1] == 0
"""
IN_USE = """
stop, rounds = threading.Event(), []

def use():
    while not stop.is_set():
        assert works(key, package)
        assert works(_core.PrivateKey.from_pem(pem), package)
        rounds.append(1)

def more():
    then = len(rounds) + 20
    while len(rounds) < then:
        threads[0].join(0.001)

threads = [threading.Thread(target=use) for _ in range(4)]
for thread in threads:
    thread.start()
more()
nomyo.harden_process(hide_memory=True)
more()
stop.set()
for thread in threads:
    thread.join()
assert len(closed()) == 1 and works(key, package)
print(nomyo.get_memory_protection_info().hidden, _core.memory_status()["unlocked_bytes"])
"""
# The arena gets 6 MiB of address space: 22 chunks.
MANY = """
keys = [_core.PrivateKey.from_pem(pem) for _ in range(60)]
assert all(works(each, package) for each in keys)
print(len(closed()))
"""
# mprotect(2) to PROT_NONE fails, and every other mprotect works.
NOT_CLOSED = """
from support.refused_calls import refuse
refuse("mprotect", argument=(2, 0))
from nomyo import SecureBuffer, _core
keys = [_core.PrivateKey.generate(2048) for _ in range(3)]
package = _core.seal({"a": 1}, keys[0].public_key)
buffer = SecureBuffer(b"content")
for _ in range(3):
    assert _core.open_package(package, keys[0])[0] == {"a": 1}
    assert buffer == b"content" and not buffer.protect()
del keys[1]
print(_core.memory_status()["unlocked_bytes"])
"""


def permissions_of(pid: int, needle: bytes) -> dict[int, str]:
    """Return where a process holds some bytes, and the permissions there. The kernel reads closed pages, too."""
    found: dict[int, str] = {}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S{4})", line)
            assert match
            start, end = int(match[1], 16), int(match[2], 16)
            try:
                memory.seek(start)
                content = memory.read(min(end - start, 64 << 20))
            except (OSError, OverflowError):
                continue  # not a page that the kernel reads
            found |= {start + hit.start(): match[3] for hit in re.finditer(re.escape(needle), content)}
    return found


def test_key_at_rest_lies_in_pages_without_access_and_a_stray_read_of_it_dies() -> None:
    key = rsa.generate_private_key(65537, 2048)
    form = serialization.PrivateFormat.PKCS8
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    # The crypto library holds numbers with their least byte first.
    primes = [number.to_bytes(128, "little")[:64] for number in (key.private_numbers().p, key.private_numbers().q)]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None

        def ask(line: str) -> str:
            print(line, file=child.stdin, flush=True)
            assert child.stdout is not None
            return child.stdout.readline()

        assert ask(pem.hex()) == "ready\n"
        for _ in range(3):
            for prime in primes:
                found = permissions_of(child.pid, prime)
                assert found
                assert set(found.values()) == {"---p"}, found
            assert ask("use") == "used\n"
        assert ask(str(min(found))) == ""
    assert child.returncode == -signal.SIGSEGV


@pytest.mark.parametrize(("after", "answer"), [("", ""), (UNLIMITED_AGAIN, "{'a': 1}\n")], ids=["to the end", "lifted"])
def test_limit_on_writable_memory_is_a_clear_error_and_no_crash(after: str, answer: str) -> None:
    ended = subprocess.run([sys.executable, "-c", LITTLE_DATA + after], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended
    error, said = ended.stdout.split("\n", 1)
    assert "RLIMIT_DATA" in error
    assert said == answer


def run(program: str, before: list[str] | None = None) -> list[str]:
    """Run a program that has a key and looks for closed pages, and return its words."""
    return output_of(CLOSED + program, before=before, env={**unmeasured(), "PYTHONPATH": TESTS}).split()


@pytest.mark.parametrize("errno", [0, EPERM, ENOSYS])
def test_keys_are_closed_after_hardening_twice_hidden_or_not(errno: int) -> None:
    refused = f"refuse('memfd_secret', {errno})\n" if errno else ""
    assert run(refused + HARDEN_TWICE) == (["1", "False"] if errno else ["0", "True"])


def test_keys_in_use_are_waited_for_hidden_and_closed_again() -> None:
    assert run(IN_USE) == ["True", "0"]


def test_many_keys_leave_address_space_to_others() -> None:
    (closed,) = map(int, run(MANY, before=[*LIMITED, f"--as={96 << 20}:{96 << 20}"]))
    assert 1 <= closed <= 22 / 4


def test_what_the_system_does_not_close_works_open() -> None:
    assert output_of(NOT_CLOSED, env={**unmeasured(), "PYTHONPATH": TESTS}) == "0\n"
