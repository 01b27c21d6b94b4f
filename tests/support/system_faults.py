"""Programs on file systems of a test's own, and faults that strace puts into their system calls."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nomyo.batch.governor import Limits
from support.process import unmeasured

URL = "http://127.0.0.1:1"
STEADY = Limits(requests_per_s=1000)
NO_SYNC = ["fsync:error=EINVAL", "fdatasync:error=EINVAL"]
NO_LINK = ["linkat:error=EPERM", "link:error=EPERM"]


def under_faults(words: list[str], faults: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program whose system calls fail."""
    calls = ",".join(fault.partition(":")[0] for fault in faults)
    injected = [word for fault in faults for word in ("-e", f"inject={fault}")]
    strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={calls}", *injected, "--"]
    return subprocess.run(
        [*strace, *words], capture_output=True, text=True, timeout=120, check=False, env=unmeasured() | environment
    )


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-W", "error", "-c", program, *map(str, arguments)]


@contextmanager
def tmpfs(path: Path, options: str) -> Iterator[Path]:
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
