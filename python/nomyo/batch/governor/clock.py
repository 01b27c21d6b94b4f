"""A clock that nobody can set, and on which all processes of one boot agree."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from .limits import SECOND_NS

# clock_gettime(2): not CLOCK_REALTIME, which jumps; not CLOCK_MONOTONIC, which stands still while Linux sleeps and the
# service's windows do not. Elsewhere the monotonic clock is what there is.
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", None) or getattr(time, "CLOCK_MONOTONIC", None)


class Clock(Protocol):
    """What a governor needs of time."""

    boot: str
    """Names the clock's epoch: times of different boots cannot be compared."""

    def now_ns(self) -> int:
        """Return the time, which never goes back."""

    async def sleep(self, delay_ns: int) -> None:
        """Wait for `delay_ns` nanoseconds."""


class SystemClock:
    """The clock of this machine."""

    def __init__(self) -> None:
        self.boot = _boot()

    def now_ns(self) -> int:
        """Return the nanoseconds since the machine started."""
        return time.monotonic_ns() if _CLOCK is None else time.clock_gettime_ns(_CLOCK)

    async def sleep(self, delay_ns: int) -> None:
        """Wait without blocking the event loop."""
        await asyncio.sleep(delay_ns / SECOND_NS)


def _boot() -> str:
    """Name the boot (random(4)) and the time namespace, which has an offset of its own (time_namespaces(7))."""
    names = ["", ""]
    with suppress(OSError):
        names[0] = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    with suppress(OSError):
        names[1] = os.readlink("/proc/self/ns/time")
    return " ".join(names)
