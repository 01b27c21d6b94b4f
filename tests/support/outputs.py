"""Outputs that take nothing: full, closed, nobody reads them, a terminal that is gone, a reader that stopped."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any


@contextmanager
def full() -> Iterator[int]:
    """Say ENOSPC, as a full disk does."""
    device = os.open("/dev/full", os.O_WRONLY)
    yield device
    os.close(device)


@contextmanager
def unread() -> Iterator[int]:
    """Say EPIPE: the reader went away."""
    read, write = os.pipe()
    os.close(read)
    yield write
    os.close(write)


@contextmanager
def lost_terminal() -> Iterator[int]:
    """Say EIO: the terminal's other end is gone."""
    master, slave = os.openpty()
    os.close(master)
    yield slave
    os.close(slave)


@contextmanager
def stalled() -> Iterator[int]:
    """Take nothing more, as a pipe whose reader stopped reading."""
    read, write = os.pipe()
    flags = fcntl.fcntl(write, fcntl.F_GETFL)
    fcntl.fcntl(write, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    with suppress(BlockingIOError):
        while True:
            os.write(write, b"\n" * 4096)
    fcntl.fcntl(write, fcntl.F_SETFL, flags)
    yield write
    os.close(write)
    os.close(read)


@contextmanager
def stalled_terminal() -> Iterator[int]:
    """Take nothing more, as a terminal whose window does not draw."""
    master, slave = os.openpty()
    os.set_blocking(slave, False)
    with suppress(BlockingIOError):
        while True:
            os.write(slave, b".")
    os.set_blocking(slave, True)
    yield slave
    os.close(slave)
    os.close(master)


OUTPUTS: dict[str, Callable[[], Any]] = {
    "full": full,
    "unread": unread,
    "lost terminal": lost_terminal,
    "stalled": stalled,
    "stalled terminal": stalled_terminal,
}
"""By name; "closed" is one more, which a shell makes."""


def nomyo(
    arguments: Sequence[str],
    *,
    stdout: str | None = None,
    stderr: str | None = None,
    env: dict[str, str] | None = None,
    timeout_s: float = 60.0,
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end with outputs of `OUTPUTS`, or closed ones; None captures."""
    command = [sys.executable, "-m", "nomyo", *arguments]
    closing = [f"{number}>&-" for number, name in ((1, stdout), (2, stderr)) if name == "closed"]
    if closing:
        command = ["sh", "-c", f'exec "$@" {" ".join(closing)}', "sh", *command]
    with ExitStack() as held:
        streams = [
            held.enter_context(OUTPUTS[name]()) if name in OUTPUTS else subprocess.PIPE for name in (stdout, stderr)
        ]
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=streams[0],
            stderr=streams[1],
            env=os.environ | (env or {}),
            timeout=timeout_s,
            check=False,
        )
