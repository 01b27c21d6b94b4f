"""Guarded buffers until the kernel gives no more mappings (vm.max_map_count), and other things that run out."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from support.process import run_python

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}


def output_of(program: str) -> list[str]:
    finished = run_python(program, env=ENVIRONMENT)
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stderr[-2000:]
    return finished.stdout.splitlines()


def test_no_more_mappings_is_a_memory_error_and_work_goes_on() -> None:
    program = """
from nomyo import SecureBuffer, _core
key = _core.PrivateKey.generate(2048)
buffers = []
try:
    while len(buffers) < 200_000:
        buffers.append(SecureBuffer(16))
except MemoryError as error:
    print(error)
payload = {"a": "b" * 1000}
try:
    assert _core.open_package(_core.seal(payload, key.public_key), key)[0] == payload
except MemoryError:
    pass
for buffer in buffers[:1000]:
    buffer.close()
assert _core.open_package(_core.seal(payload, key.public_key), key)[0] == payload
print("works")
"""
    assert output_of(program) == ["out of memory", "works"]


def test_refused_random_numbers_are_an_import_error_in_words() -> None:
    program = f"""
from support.refused_calls import refuse
refuse("getrandom", {errno.EPERM})
try:
    import nomyo
except ImportError as error:
    print(error)
"""
    assert output_of(program) == [
        "the system refuses random numbers to this process: "
        "allow it the call getrandom(2), which a seccomp profile forbids"
    ]


def test_random_numbers_come_from_a_file_where_there_is_no_call() -> None:
    program = f"""
from support.refused_calls import refuse
refuse("getrandom", {errno.ENOSYS})
from nomyo import _core
key = _core.PrivateKey.generate(2048)
print(len(_core.seal({{"a": 1}}, key.public_key)) > 100, len(_core.new_payload_id()))
"""
    assert output_of(program) == ["True 36"]


def test_work_goes_on_with_no_file_left_to_open() -> None:
    program = """
import resource, sys
import nomyo  # its modules are files
from nomyo import _core
held = []
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
try:
    while True:
        held.append(open("/dev/null"))
except OSError:
    pass
key = _core.PrivateKey.generate(2048)
print(len(_core.seal({"a": 1}, key.public_key)) > 100, nomyo.SecureBuffer(b"x") == b"x")
try:
    _core.open_key_directory("/nonexistent/keys", 2048)
except OSError as error:
    print(error.filename is not None)
for file in held:
    file.close()
"""
    assert output_of(program) == ["True True", "True"]


def test_import_with_no_file_left_to_open_is_an_error_in_words() -> None:
    program = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
held = []
try:
    while True:
        held.append(open("/dev/null"))
except OSError:
    pass
try:
    import nomyo
except (ImportError, OSError) as error:
    words = str(error)
for file in held:
    file.close()
print("Too many open files" in words or "No module named" in words, words)
"""
    (line,) = output_of(program)
    assert line.startswith("True "), line
