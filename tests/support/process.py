"""Programs that run in a process of their own, and what the kernel says of one."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

# The words that run a program under limits or with fewer rights, which follow (`limits.py`).
LIMITED = [sys.executable, "-I", "-S", str(Path(__file__).with_name("limits.py"))]


def unmeasured() -> dict[str, str]:
    """Return the environment without what has coverage trace a child.

    Its tracer takes a lock (`Collector.data_lock`) in every thread and knows nothing of fork(2): a child forked while
    another thread holds it hangs. It also keeps a tracer for every thread that there ever was.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


def run_python(
    program: str,
    *arguments: str,
    before: list[str] | None = None,
    env: Mapping[str, str] | None = None,
    timeout_s: float = 120.0,
) -> subprocess.CompletedProcess[str]:
    """Run a program under `-W error`; `before` are words in front of the interpreter."""
    command = [*(before or []), sys.executable, "-W", "error", "-c", program, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout_s, check=False, env=None if env is None else dict(env)
    )


def output_of(
    program: str, *arguments: str, before: list[str] | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Return what a program printed; it must succeed, and say nothing to stderr."""
    finished = run_python(program, *arguments, before=before, env=env)
    assert (finished.returncode, finished.stderr) == (0, ""), finished.stderr
    return finished.stdout


def under_memlock_limit(limit_bytes: int) -> list[str]:
    """Return the words that run a program as one without CAP_IPC_LOCK under a limit of locked memory."""
    return [*LIMITED, *without("ipc_lock"), f"--memlock={limit_bytes}"]


def without(*capabilities: str) -> list[str]:
    """Return the words for `LIMITED` that take capabilities from root; an ordinary user has none to give up."""
    return [f"--without={','.join(capabilities)}"] if os.geteuid() == 0 else []


@functools.cache
def as_ordinary_user() -> tuple[str, ...]:
    """Return the words that run a program as a user without any capability, the same one at every call.

    That is somebody else where this is root; root without capabilities where the interpreter lies out of others' reach.
    """
    if os.geteuid() != 0:
        return ()
    stranger = (*LIMITED, "--without=all", "--user=65534")
    if run_python("import nomyo", before=[*stranger]).returncode == 0:
        return stranger
    return (*LIMITED, "--without=all")


def locked_kib_at(address: int) -> int:
    """Return the `Locked` figure of the mapping of this process that holds an address, from smaps."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if header := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            inside = int(header[1], 16) <= address < int(header[2], 16)
        elif inside and line.startswith("Locked:"):
            return int(line.split()[1])
    raise AssertionError("no mapping holds the address")
