"""Locked memory for programs: what this machine can protect, and buffers for secrets.

`SecureBuffer` (from the native core) is memory of our own: locked, guarded, wiped.
`SecureByteContext` locks and wipes the caller's own buffer, where it lies.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from . import _core
from ._byte_context import SecureByteContext, disable_secure_memory, enable_secure_memory, protection_is_on
from ._core import SecureBuffer
from ._warn import log_named, warn
from .errors import SecurityError

__all__ = [
    "ProtectionInfo",
    "SecureBuffer",
    "SecureByteContext",
    "check_nothing_unlocked",
    "check_working_memory",
    "disable_secure_memory",
    "enable_secure_memory",
    "get_memory_protection_info",
    "harden_process",
    "secure_bytearray",
    "secure_bytes",
    "warn_of_unlocked",
]

logger = log_named("nomyo")

Method: TypeAlias = Literal["mlock", "zero-only", "none"]

# What an RSA-4096 key pair, its generation, and two small requests sealed at once need. Measured: from a limit of 312
# KiB on, nothing is unlocked at any time. The arena may lock 7/8 of the limit (arena/budget.rs).
MIN_LIMIT_BYTES = 320 * 1024
MIN_BUDGET_BYTES = 280 * 1024
_ADVICE = f"raise it with `ulimit -l` ({MIN_LIMIT_BYTES // 1024} KiB at least) or grant CAP_IPC_LOCK"


_REFUSALS = {
    "MADV_DONTDUMP": "core dumps would include secrets: the system refuses MADV_DONTDUMP; call nomyo.harden_process(), "
    "after which there are none",
    "pthread_atfork": "forked children could use what they inherit, or hang: the system refuses pthread_atfork",
    "atexit": "work under way at exit is not waited for: the system refuses atexit",
    "memfd_secret": "memory is locked, but not hidden as was asked for: the system refuses memfd_secret",
}


@dataclass(frozen=True, slots=True)
class ProtectionInfo(Mapping[str, Any]):
    """The memory protection in force; measured, not assumed.

    Reads as attributes and as a mapping, in the spelling of this package, of the JavaScript
    client (`canLock`) and of the earlier Python client (`has_memory_locking`).
    """

    can_lock: bool
    """Whether one more page can be locked now, under the present limit. This was tried."""
    is_platform_secure: bool
    """Whether all working memory is locked: `method` is "mlock", and the limit is large enough for clients.

    It is also False if the system refuses another call that protections rest on; `details` names that call.
    """
    method: Method
    details: str
    """A text for people: the limit, and what to do about a weakness."""
    hidden: bool = False
    """Whether not even root can read working memory: a read through `/proc/self/mem` was tried, and failed."""

    def __getitem__(self, key: str) -> Any:
        """Return a value by any of its names."""
        return self._values()[key]

    def __iter__(self) -> Iterator[str]:
        """Iterate over all names."""
        return iter(self._values())

    def __len__(self) -> int:
        """Return the number of names."""
        return len(self._values())

    def _values(self) -> dict[str, Any]:
        wipes = self.method != "none"
        level = "full" if self.is_platform_secure else "zeroing_only" if wipes else "none"
        return {
            "can_lock": self.can_lock,
            "is_platform_secure": self.is_platform_secure,
            "method": self.method,
            "details": self.details,
            "hidden": self.hidden,
            "canLock": self.can_lock,
            "isPlatformSecure": self.is_platform_secure,
            "enabled": wipes,
            "platform": sys.platform,
            "protection_level": level,
            "has_memory_locking": self.method == "mlock",
            "has_secure_zeroing": wipes,
            "supports_full_protection": self.is_platform_secure,
            "page_size": _core.memory_status()["page_size"],
        }


def get_memory_protection_info() -> ProtectionInfo:
    """Try what memory protection is available, and return the outcome.

    Source: mlock(2) on a fresh page under the present RLIMIT_MEMLOCK; the page is released again. If memory is hidden,
    a page of it is read as others would (proc_pid_mem(5)).
    """
    can_lock = _core.can_lock()
    # If our own locks have used up the limit, no further page can be locked, but memory is locked.
    locks = can_lock or _core.memory_status()["locked_bytes"] > 0
    method: Method = ("mlock" if locks else "zero-only") if protection_is_on() else "none"
    secure = can_lock and method == "mlock" and _shortfall() is None and not _refusals()
    return ProtectionInfo(can_lock, secure, method, _details(can_lock), _core.memory_is_hidden() is True)


def harden_process(hide_memory: bool = False) -> None:
    """Switch off core dumps and tracing, for this process and the processes that it forks. Idempotent.

    Afterwards no other process of the same user can attach to this one (ptrace(2)) or read its memory, unless that
    process has CAP_SYS_PTRACE or had attached before. A program that this process starts by execve(2) can be traced
    again (prctl(2)), but its limit on core dumps stays at 0, the hard limit too. If the process is not root's, it can
    no longer open `/proc/self/mem` and `/proc/self/environ`.

    Args:
        hide_memory: Whether to hide memory from root too: keys, working memory and every `SecureBuffer`, those that
            exist already among them, move into pages that the kernel reads for nobody (memfd_secret(2), Linux 5.14).
            While such pages exist, the machine cannot hibernate. If the system refuses them, memory stays locked, a
            warning says so once, and clients with `secure_memory="require"` are refused.

    Raises:
        OSError: The system refuses to switch off core dumps or tracing.
        SecurityError: Memory cannot be hidden now: a view of a `SecureBuffer` is held, a file is being read into one,
            or other threads are encrypting or decrypting, and do not end within 2 s. Nothing has moved then.
        TypeError: `hide_memory` is not a bool.
    """
    if not isinstance(hide_memory, bool):
        raise TypeError(f"hide_memory must be a bool, not {type(hide_memory).__name__}")
    _core.harden_process()
    if hide_memory:
        hide(stacklevel=2)


def hide(*, stacklevel: int) -> None:
    """Hide memory as `harden_process` does; warn once if the system refuses that.

    Args:
        stacklevel: As in `warnings.warn`.
    """
    refusal = _core.hide_memory()
    if refusal is not None and not _hiding_refused.is_set():
        _hiding_refused.set()
        warn(f"memory stays locked, but root can read it: {refusal}", stacklevel=stacklevel + 1)


def _details(can_lock: bool) -> str:
    status = _core.memory_status()
    use = f"{status['locked_bytes'] // 1024} KiB locked, {status['unlocked_bytes'] // 1024} KiB not"
    advice = "" if can_lock and _shortfall() is None else f": {_ADVICE}"
    refusals = "".join(f"; {refusal}" for refusal in _refusals())
    return f"{_ability(can_lock, status)} under {_limit(status)} ({use}){advice}{refusals}"


def _ability(can_lock: bool, status: Mapping[str, int]) -> str:
    if can_lock:
        return "memory can be locked"
    return "no more memory can be locked" if status["locked_bytes"] else "memory cannot be locked"


def _kib(size_bytes: int) -> str:
    return f"{-(-size_bytes // 1024)} KiB"


def _limit(status: Mapping[str, int]) -> str:
    return "no limit" if status["limit_bytes"] < 0 else f"a limit of {status['limit_bytes'] // 1024} KiB"


def _shortfall() -> str | None:
    """Return which part of the working memory is not locked, or could not be; None if all is or could be."""
    status = _core.memory_status()
    if status["unlocked_bytes"] > 0:
        return f"{status['unlocked_bytes'] // 1024} KiB of working memory are not locked under {_limit(status)}"
    if status["budget_bytes"] >= MIN_BUDGET_BYTES:
        return None
    if 0 <= status["limit_bytes"] < MIN_LIMIT_BYTES:
        return f"{_limit(status)} on locked memory is too small for the working memory"
    return (
        "the limit on locked memory was too small for the working memory when nomyo was imported, and counts from then"
    )


def _refusals() -> list[str]:
    """Return what the system refuses besides locks, with its consequences."""
    # A process that dumps no core has nothing to leave out of a dump (prctl(2), PR_SET_DUMPABLE).
    kept = {"MADV_DONTDUMP"} if _core.dumpable() == 0 else set()
    return [_REFUSALS[call] for call in _core.refused_calls() if call not in kept]


@contextmanager
def secure_bytearray(data: bytes | bytearray, lock: bool = True) -> Iterator[SecureBuffer]:
    """Hold a copy of `data` in a `SecureBuffer`, wiped when the block ends.

    Args:
        data: The content; a bytearray is wiped at once, bytes cannot be.
        lock: Whether to lock the copy.
    """
    with SecureBuffer(data) as buffer:
        if not lock:
            buffer.unlock()
        yield buffer


@contextmanager
def secure_bytes(data: bytes, lock: bool = True) -> Iterator[SecureBuffer]:
    """Do what `secure_bytearray` does, with a warning in the log: `data` itself cannot be wiped."""
    logger.warning("secure_bytes: the original bytes object cannot be wiped; use secure_bytearray with a bytearray")
    with secure_bytearray(data, lock) as buffer:
        yield buffer


_warned = threading.Event()
_hiding_refused = threading.Event()


def check_working_memory(secure_memory: bool | Literal["require"], *, stacklevel: int) -> None:
    """Check, when a client is made, whether the machine can give what its `secure_memory` asks for.

    Raises:
        SecurityError: `secure_memory` is "require", and the working memory cannot be locked, or the system refuses
            another protection.
    """
    if secure_memory is not False:
        status = _core.memory_status()
        shortfall = _shortfall() if _core.can_lock() else f"{_ability(False, status)} under {_limit(status)}"
        told = {_REFUSALS["memfd_secret"]} if secure_memory is True and _hiding_refused.is_set() else set()
        _warn_or_raise(secure_memory, shortfall, stacklevel + 1, [each for each in _refusals() if each not in told])


def check_nothing_unlocked(secure_memory: bool | Literal["require"], *, stacklevel: int) -> None:
    """Check a client's `secure_memory` against the memory that is unlocked now. Cheap enough for every request.

    Raises:
        SecurityError: `secure_memory` is "require", and part of the working memory is not locked.
    """
    if secure_memory is False or _core.all_locked():
        return
    if _core.memory_status()["unlocked_bytes"] > 0:
        _warn_or_raise(secure_memory, _shortfall(), stacklevel + 1)


def warn_of_unlocked(secure_memory: bool | Literal["require"], *answer: SecureBuffer | None, stacklevel: int) -> None:
    """Warn once if a client's work used memory that is not locked, even if it was released since.

    Args:
        secure_memory: The client's option; only True warns.
        answer: The buffers of the result, which are not part of the working memory.
        stacklevel: As in `warnings.warn`.
    """
    if secure_memory is not True or _warned.is_set():
        return
    if _core.all_locked() and all(buffer is None or buffer.locked for buffer in answer):
        return
    status = _core.memory_status()
    parts = {
        "working memory": status["unlocked_peak_bytes"],
        "an answer": sum(len(buffer) for buffer in answer if buffer is not None and not buffer.locked),
    }
    shortfall = " and ".join(f"{_kib(size_bytes)} of {name}" for name, size_bytes in parts.items() if size_bytes)
    if shortfall:
        _warn_or_raise(secure_memory, f"{shortfall} could not be locked under {_limit(status)}", stacklevel + 1)


def _warn_or_raise(
    secure_memory: bool | Literal["require"], shortfall: str | None, stacklevel: int, refusals: Sequence[str] = ()
) -> None:
    if shortfall is None and not refusals:
        return
    if secure_memory == "require":
        faults = [] if shortfall is None else [f"{shortfall}; {_ADVICE}"]
        raise SecurityError(f'secure_memory="require": {"; ".join([*faults, *refusals])}')
    if not _warned.is_set():
        _warned.set()
        swapped = f"{shortfall}. Secrets are wiped all the same, but may reach swap; {_ADVICE}"
        message = "; ".join([*([] if shortfall is None else [swapped]), *refusals])
        warn(message, stacklevel=stacklevel)
