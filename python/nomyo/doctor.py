"""`nomyo doctor`: how well this machine can protect secrets in memory, and what would help. Needs no extra."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from nomyo import __version__, _core
from nomyo.memory import get_memory_protection_info

_USAGE: Final = "Usage: nomyo doctor\n\nTells how well this machine can protect secrets in memory, and what would help."
# Room for a few keys and requests of a usual size; the default of Linux, and no reason for advice.
_COMFORTABLE_BYTES: Final = 8 * 1024 * 1024


def main(arguments: Sequence[str]) -> int:
    """Print the report.

    Returns:
        The exit code: 0, whatever was found; 2 for arguments, of which there are none.
    """
    if arguments:
        sys.stdout.write(f"{_USAGE}\n")
        return 0 if arguments[0] in ("--help", "-h") else 2
    sys.stdout.writelines(f"{line}\n" for line in _report())
    return 0


def _report() -> Iterator[str]:
    info = get_memory_protection_info()
    status = _core.memory_status()
    can_lock = _core.can_lock()
    yield f"nomyo          {__version__}, Python {platform.python_version()}, {platform.platform()}"
    yield f"crypto         {_core.crypto_version()}"
    yield f"protection     {info.method}" + (f": {info.details}" if info.details else "")
    yield f"memory lock    {'works' if can_lock else 'REFUSED'} (tried just now, on one page)"
    yield f"lock limit     {_limit(status['limit_bytes'])}"
    yield f"locked now     {_size(status['locked_bytes'])}, of which {_size(status['in_use_bytes'])} in use"
    yield f"not locked     {_size(status['unlocked_bytes'])} of working memory"
    yield ""
    yield from _advice(can_lock, status) or ["Nothing to advise: working memory is locked, and there is room."]


def _advice(can_lock: bool, status: Mapping[str, int]) -> list[str]:
    limit_bytes = status["limit_bytes"]
    roomy = limit_bytes < 0 or limit_bytes >= _COMFORTABLE_BYTES
    if can_lock and roomy and not status["unlocked_bytes"]:
        return []
    return [
        "Secrets may be swapped to disk, now or under load. Let this process lock more memory:",
        "  shell       ulimit -l 65536            (KiB; the hard limit is set in /etc/security/limits.conf)",
        "  systemd     LimitMEMLOCK=64M           (in the unit)",
        "  docker      --ulimit memlock=67108864",
        "Or switch swap off (swapoff -a), or encrypt it. `secure_memory='require'` refuses to work unprotected.",
    ]


def _limit(limit_bytes: int) -> str:
    return "none" if limit_bytes < 0 else f"{_size(limit_bytes)} (RLIMIT_MEMLOCK or its like)"


def _size(size_bytes: int) -> str:
    if size_bytes >= 1024 * 1024:
        return f"{size_bytes / (1024 * 1024):.1f} MiB"
    return f"{size_bytes / 1024:.0f} KiB"
