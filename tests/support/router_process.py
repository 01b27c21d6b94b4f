"""`nomyo router` as a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

READY = re.compile(r"nomyo router ready url=(http://127\.0\.0\.1:\d+) fingerprint=(SHA256:[A-Za-z0-9+/]{43})\n")


@contextmanager
def router_process(
    *options: str, before: Sequence[str] = (), **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run a router while the block lasts, and yield its process and URL; `before` are words in front of it."""
    words = [*before, sys.executable, "-m", "nomyo", "router", "--port", "0", "--key-bits", "2048", *options]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | environment
    ) as process:
        try:
            assert process.stdout
            ready = READY.fullmatch(process.stdout.readline())
            assert ready
            yield process, ready[1]
        finally:
            process.terminate()
