"""Under limits on memory (`ulimit -v` and `-d`) nomyo takes a part, leaves the rest, and says what is too little."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from nomyo.serve.router.running import RunningRouter
from support.process import LIMITED, run_python, unmeasured

MIB = 1024 * 1024
# Of address space. CPython 3.14 takes 4 MiB more than 3.11 before it runs a line, and more for what it imports.
SMALLEST_MIB = 40 if sys.version_info < (3, 14) else 48
# The C library reserves 64 MiB of address space for each thread's malloc by itself (mallopt(3), M_ARENA_MAX); what
# measures coverage takes some of it, too.
ENVIRONMENT = {**unmeasured(), "MALLOC_ARENA_MAX": "1"}
PROLOGUE = """
import re, resource, sys, threading, warnings
from pathlib import Path
warnings.filterwarnings("ignore", message="the router is spoken to over plain HTTP")

def address_space():
    return int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

"""
OPERATIONS = """
before = address_space()
import nomyo
from nomyo import _core
taken = address_space() - before
limit = min(limit for limit in map(int, sys.argv[1:3]) if limit > 0)
# The library itself takes some MiB, and the arena's books one in sixty of its size.
assert taken < limit / 16 + limit / 256 + 26 * 2**20, (taken >> 20, limit >> 20)
key = _core.PrivateKey.generate(2048)
payload = {"messages": [{"role": "user", "content": "Hello" * 1000}]}
for _ in range(20):
    assert _core.open_package(_core.seal(payload, key.public_key), key)[0] == payload
with nomyo.SecureBuffer(100_000) as buffer:
    assert len(buffer) == 100_000
if limit > 90 * 2**20:
    ended = threading.Event()
    threads = [threading.Thread(target=ended.wait) for _ in range(3)]
    for thread in threads:
        thread.start()
    assert len(bytearray(8 * 2**20)) == 8 * 2**20
    ended.set()
    for thread in threads:
        thread.join()
print("done")
"""


def limited(space_bytes: int = 0, data_bytes: int = 0) -> list[str]:
    """Return the words that run a program under limits; 0 for none."""
    limits = {"as": space_bytes, "data": data_bytes}
    return [*LIMITED, *(f"--{name}={limit}:{limit}" for name, limit in limits.items() if limit)]


@pytest.mark.parametrize("space_mib", [SMALLEST_MIB, 64, 96, 128, 256, 512, 1024, 2048, 4096])
def test_operations_work_and_threads_start_under_a_limit_on_address_space(space_mib: int) -> None:
    before = limited(space_mib * MIB)
    finished = run_python(PROLOGUE + OPERATIONS, str(space_mib * MIB), "0", before=before, env=ENVIRONMENT)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("data_mib", [32, 64, 128, 1024])
def test_operations_work_under_a_limit_on_data(data_mib: int) -> None:
    before = limited(data_bytes=data_mib * MIB)
    finished = run_python(PROLOGUE + OPERATIONS, "0", str(data_mib * MIB), before=before, env=ENVIRONMENT)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("space_mib", [16, 18, 20, 21, 22, 23, 24, 26, 28])
def test_too_little_address_space_is_an_import_error_that_names_the_limit(space_mib: int) -> None:
    finished = run_python("import nomyo", before=limited(space_mib * MIB), env=ENVIRONMENT)
    said = finished.stderr.splitlines()[-1:] or [""]
    assert finished.returncode in (0, 1), finished.stderr
    if finished.returncode:
        # CPython's own imports fail for want of memory, now and then in other words (`import string`, at 23 MiB).
        # 3.14 may have no memory to print the error either: it then ends with a dump of the object.
        of_python = said[0].startswith(("MemoryError", "SystemError: error return without exception set"))
        unprinted = said[0] == "lost sys.stderr" and "object type name: MemoryError" in finished.stderr
        unprinted = unprinted and sys.version_info >= (3, 14)
        unloaded = re.match("ImportError: .*: failed to map segment", said[0])  # a library of CPython's
        of_nomyo = "RLIMIT_AS (`ulimit -v`)" in said[0]
        assert of_nomyo or of_python or unprinted or unloaded, finished.stderr


def test_import_with_any_little_address_space_fails_without_ending_the_process() -> None:
    """Python loads the core, which then finds no memory for the first thing that it makes, only within some 300 KiB."""
    program = """
import os
limit, status = address_space() + 2**20, None
while status != 0:
    limit += 96 * 1024
    if not (child := os.fork()):
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        try:
            import nomyo
        except (MemoryError, SystemError):  # of CPython's own imports
            os._exit(2)
        except ImportError as error:
            if "RLIMIT_AS (`ulimit -v`)" in str(error):
                os._exit(1)
            os._exit(2 if "failed to map segment" in str(error) else 3)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status)
"""
    finished = run_python(PROLOGUE + program, env=ENVIRONMENT)
    statuses = finished.stdout.split()
    assert (set(statuses) - {"2"}, finished.stderr) == ({"0", "1"}, ""), statuses


def test_client_gets_its_answer_in_half_a_gigabyte(router: RunningRouter, key_directory: Path) -> None:
    program = """
import nomyo
with nomyo.SyncSecureChatCompletion(sys.argv[1], True, key_dir=sys.argv[2], secure_memory=False) as client:
    for size in (10, 1_000_000):
        answer = client.create(model="m", messages=[{"role": "user", "content": "x" * size}])
        print(len(answer.choices[0].message.content))
"""
    before = limited(512 * MIB)
    finished = run_python(PROLOGUE + program, router.url, str(key_directory), before=before, env=ENVIRONMENT)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "10\n1000000\n", "")


def test_answer_that_does_not_fit_is_an_error_and_ends_nothing() -> None:
    program = """
import nomyo
from nomyo import _core
key = _core.PrivateKey.generate(2048)
package = _core.seal({"usage": "x" * 9_000_000, "model": "m"}, key.public_key)
held = []
while len(held) < 1000:
    try:
        held.append(bytearray(4 * 2**20))
    except MemoryError:
        break
for work in (lambda: _core.open_package(package, key), lambda: _core.open_secret(package, key)):
    try:
        work()
    except MemoryError as error:
        print(error)
held.clear()
print(len(_core.open_package(package, key)[0]["usage"]))
"""
    finished = run_python(PROLOGUE + program, before=limited(256 * MIB), env=ENVIRONMENT)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout.splitlines()[-1] == "9000000"
    assert len(finished.stdout.splitlines()) == 3
