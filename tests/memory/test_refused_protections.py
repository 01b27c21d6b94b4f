"""Protections that the kernel refuses: the promise is kept another way, or told, and `"require"` refuses to work."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.memory_scan import Scanner
from support.needles import Text, of_texts
from support.process import run_python, unmeasured

ENVIRONMENT = {**unmeasured(), "PYTHONPATH": str(Path(__file__).parents[1])}
NO_WIPE_ON_FORK = "refuse('madvise', argument=(2, MADV_WIPEONFORK))"
NO_DONT_DUMP = "refuse('madvise', argument=(2, MADV_DONTDUMP))"
PROLOGUE = """
import os, sys, warnings
from support.refused_calls import *
warnings.filterwarnings("ignore", "the router is spoken to over plain HTTP")
"""


def run(program: str, *arguments: str) -> str:
    finished = run_python(PROLOGUE + program, *arguments, env=ENVIRONMENT)
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stderr
    return finished.stdout


FORKING = """
import nomyo
buffer = nomyo.SecureBuffer.from_file(sys.argv[1])
large = nomyo.SecureBuffer.from_file(sys.argv[2])
child = os.fork()
if child == 0:
    try:
        bytes(buffer)
    except nomyo.SecurityError as error:
        assert "fork" in str(error), error
        with nomyo.SecureBuffer(b"own") as own:
            assert own == b"own"
        print(os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
assert len(bytes(buffer)) == os.path.getsize(sys.argv[1]) and len(bytes(large)) == os.path.getsize(sys.argv[2])
"""


@contextmanager
def forked(program: str, *paths: Path) -> Iterator[tuple[int, int]]:
    """Run a program that forks: itself, and its child, which waits."""
    command = [sys.executable, "-W", "error", "-c", PROLOGUE + program, *map(str, paths)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        said = parent.stdout.readline()
        assert said, "the child failed"
        yield parent.pid, int(said)
        parent.stdin.close()
    assert parent.returncode == 0


@pytest.mark.parametrize("refusal", ["", NO_WIPE_ON_FORK], ids=["kernel-wipes", "kernel-refuses"])
def test_forked_child_holds_nothing_of_a_secure_buffer(refusal: str, tmp_path: Path) -> None:
    texts = [Text.draw("the key", "-", 32), Text.draw("a large text", "-", 1000)]
    paths = [tmp_path / "key", tmp_path / "large"]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text.content)
    needles = of_texts(texts)
    with forked(refusal + FORKING, *paths) as (parent, child):
        found = {find.secret for find in Scanner(needles).process(parent)}
        assert found == {"the key", "a large text"}, "the search finds nothing"
        assert Scanner(needles).process(child) == []


REPORT = """
import nomyo
from nomyo.cli.doctor import command as doctor
from nomyo.cli.doctor import machine
info = nomyo.get_memory_protection_info()
print(info.is_platform_secure)
print("core dumps" in info.details)
print(machine.core_dumps().locked_memory_left_out)
print("INCLUDED" in "\\n".join(doctor.report(machine.survey())))
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        nomyo.SyncSecureCompletionClient("https://127.0.0.1:1", key_dir=None).dispose()
print(len([one for one in caught if "core dumps" in str(one.message)]))
try:
    nomyo.SyncSecureCompletionClient("https://127.0.0.1:1", secure_memory="require", key_dir=None).dispose()
    print("made")
except nomyo.SecurityError as error:
    print(error)
"""


def test_memory_that_core_dumps_would_include_is_told_and_refused_by_require() -> None:
    said = run(NO_DONT_DUMP + REPORT).splitlines()
    assert said[:5] == ["False", "True", "False", "True", "1"]
    assert said[5].startswith(
        'secure_memory="require": core dumps would include secrets: the system refuses MADV_DONTDUMP'
    )
    assert "nomyo.harden_process()" in said[5]


def test_process_that_dumps_no_core_needs_nothing_left_out_of_it() -> None:
    said = run(NO_DONT_DUMP + "\nimport nomyo\nnomyo.harden_process()\n" + REPORT).splitlines()
    assert (said[0], said[1], said[4], said[5]) == ("True", "False", "0", "made")


def test_nothing_is_told_where_nothing_is_refused() -> None:
    assert run(REPORT).splitlines() == ["True", "False", "True", "False", "0", "made"]


def test_locking_works_where_the_kernel_has_no_mlock2() -> None:
    program = """
import errno
refuse("mlock2", errno.EPERM)
import nomyo
with nomyo.SecureBuffer(b"secret") as buffer:
    print(buffer.locked, nomyo.get_memory_protection_info().method, flush=True)
if not (child := os.fork()):
    with nomyo.SecureBuffer(b"own") as own:
        print(own.locked, nomyo.get_memory_protection_info().method, flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert run(program).splitlines() == ["True mlock", "True mlock"]


@pytest.mark.parametrize("call", ["prlimit64", "prctl"])
def test_process_that_cannot_be_hardened_is_told(call: str) -> None:
    program = f"""
import nomyo
refuse({call!r}, errno.EPERM)
try:
    nomyo.harden_process()
except OSError as error:
    print(errno.errorcode[error.errno])
"""
    assert run(program) == "EPERM\n"


def test_buffer_that_cannot_be_unlocked_says_that_it_is_locked() -> None:
    program = """
import nomyo
refuse("munlock", errno.EPERM)
with nomyo.SecureBuffer(b"secret") as buffer:
    print(buffer.locked, buffer.unlock(), buffer.locked)
"""
    assert run(program) == "True False True\n"
