"""What `_metadata` says about this machine. All of it is measured."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import platform
import sys
from typing import Any, Final

from nomyo._core import SecureBuffer, memory_status

_PR_GET_DUMPABLE: Final = 3  # prctl(2)
# No GPU is looked for, since none is used: the hash is that of the device that does the work.
_DEVICE_HASH: Final = hashlib.sha256(b"cpu").hexdigest()


def memory_protection() -> dict[str, Any]:
    """Return the protections in force for the memory that the router works in."""
    return {
        "platform": platform.system().lower() or sys.platform,
        "memory_locking": _working_memory_is_locked(),
        "secure_zeroing": _zeroing_works(),
        "core_dump_prevention": core_dumps_are_off(),
    }


def cuda_device() -> dict[str, Any]:
    """Return the entry for the device: no GPU, and a SHA-256 that stands for the model that answers instead."""
    return {"available": False, "device_hash": _DEVICE_HASH}


def core_dumps_are_off() -> bool:
    """Return whether a crash of this process would leave no core dump."""
    if sys.platform == "win32":
        return False
    elif sys.platform == "linux":  # noqa: RET505 - mypy follows such branches only
        # The size limit alone does not count: it does not hold for a core piped to a program (core(5)).
        dumpable: int = ctypes.CDLL(None).prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0)
        return dumpable == 0
    else:
        import resource  # absent on Windows

        return resource.getrlimit(resource.RLIMIT_CORE)[0] == 0


def _working_memory_is_locked() -> bool:
    status = memory_status()
    return status["locked_bytes"] > 0 and status["unlocked_bytes"] == 0


@functools.cache
def _zeroing_works() -> bool:
    with SecureBuffer(b"\xa5" * 64) as probe:
        probe.zero()
        return bytes(probe.data) == bytes(64)
