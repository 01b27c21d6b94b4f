"""What root finds in a process that hides its memory, searched from outside: nothing, in locked pages either."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from support.memory_scan import outside
from support.scanned import PLAIN, SECRET, hiding
from support.scene import Scene

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem")


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_requests_leave_nothing_to_find(scene: Scene, kind: str) -> None:
    with hiding("asked", kind, scene.directory, {**scene.job, **SECRET}) as child:
        assert child.search(scene.needles()) == []


def test_requests_with_objects_leave_only_these(scene: Scene) -> None:
    with hiding("asked", "sync", scene.directory, {**scene.job, **PLAIN}) as child:
        finds = child.search(scene.needles())
    assert outside(finds, child.kept) == []
    assert [find for find in finds if find.locked] == []


@pytest.mark.parametrize("conduct", ["wrong tag", "not JSON", "unavailable", "silent", "too deep"])
def test_failures_leave_nothing_to_find(scene: Scene, conduct: str) -> None:
    scene.router.conduct = conduct
    options = {"max_retries": 1} if conduct == "unavailable" else {"max_retries": 0, "timeout": 1.0}
    messages = scene.job["messages"][2:3] if conduct in ("unavailable", "silent") else scene.job["messages"]
    job = {**scene.job, "options": options, **SECRET, "messages": messages}
    with hiding("failed", "async", scene.directory, job) as child:
        assert child.search(scene.needles()) == []


def test_nothing_is_found_while_32_requests_are_under_way(scene: Scene) -> None:
    scene.router.conduct = "silent"
    with hiding("under_way", "async", scene.directory, {**scene.job, **SECRET}) as child:
        assert child.search(scene.needles()) == []


@pytest.mark.parametrize("name", ["forked", "ending"])
def test_nothing_is_found_in_a_forked_child_or_at_exit(scene: Scene, name: str) -> None:
    with hiding(name, "sync", scene.directory, {**scene.job, **SECRET}) as child:
        assert child.search(scene.needles()) == []


DEBUGGED = """
import sys, nomyo
nomyo.harden_process(hide_memory=True)
buffer = nomyo.SecureBuffer(b"what nobody else may read")
plain = b"what everybody may read"
print(buffer.address, id(plain) + bytes.__basicsize__ - 1, flush=True)
sys.stdin.read()
"""


@pytest.mark.outside("gdb")
def test_debugger_reads_ordinary_memory_and_no_hidden_memory() -> None:
    gdb = shutil.which("gdb")
    assert gdb, "gdb is missing: apt-get install gdb"
    command = [sys.executable, "-c", DEBUGGED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        hidden, plain = map(int, child.stdout.readline().split())
        looks = [word for address in (plain, hidden) for word in ("-ex", f"x/s {address}")]
        debugger = [gdb, "-batch", "-nx", "-p", str(child.pid), *looks]
        seen = subprocess.run(debugger, capture_output=True, text=True, timeout=60, check=False)
        child.stdin.close()
    assert "what everybody may read" in seen.stdout
    assert f"Cannot access memory at address {hidden:#x}" in seen.stdout + seen.stderr
    assert "nobody" not in seen.stdout
    assert child.returncode == 0
