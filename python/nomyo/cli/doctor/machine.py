"""Measures what this machine and this process offer to protect secrets in memory: facts, without advice.

Every fact is read afresh, and is None if the system does not tell (containers hide files, other systems have none).
Files are looked for below a root directory that tests give. Sources: proc(5), core(5), prctl(2), ptrace(2), and Yama,
cgroup-v2, zram and pm in the kernel's Documentation/admin-guide.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from nomyo import _core
from nomyo._core import SecureBuffer
from nomyo.memory import MIN_BUDGET_BYTES

Limit: TypeAlias = int | Literal["unlimited"] | None
Level: TypeAlias = Literal["none", "scarce", "small", "comfortable"]
Destination: TypeAlias = Literal["file", "program", "socket", "nowhere"]
Medium: TypeAlias = Literal["memory", "dm-crypt", "unknown"]

ROOT: Final = Path("/")
# What the budget is under Linux's default limit of 8 MiB (3/4 of it): large answers, and many requests at once.
_COMFORTABLE_BUDGET_BYTES: Final = 6 * 1024 * 1024
# prctl(2), PR_SET_DUMPABLE.
_DUMPABLE_BY_USER: Final = 1
_NOT_DUMPABLE: Final = 0
_YAMA_RELATIONAL: Final = 1


@dataclass(frozen=True, slots=True)
class Locking:
    """How much memory can be locked."""

    can_lock: bool
    """Whether a page could be locked just now."""
    level: Level
    """"none": not a page; "scarce": less than a client needs; "small": enough for a client, not for large answers."""
    limit_applies: bool
    """False if CAP_IPC_LOCK lifts the limit, or there is none."""
    soft_limit_bytes: Limit
    hard_limit_bytes: Limit
    budget_bytes: int
    """The most working memory that the core locks."""
    locked_bytes: int
    """How much of the core's working memory is locked."""
    unlocked_bytes: int
    in_use_bytes: int
    process_locked_bytes: int | None
    """How much memory of the whole process is locked, which counts against the limit."""
    hidden: bool | None = None
    """Whether not even root can read the core's memory; None if it cannot be tried."""
    hiding_refused: bool = False
    """Whether that was asked for, and the system refused it."""


@dataclass(frozen=True, slots=True)
class CoreDumps:
    """Whether a crash of this process leaves a copy of its memory, and where."""

    possible: bool | None
    soft_limit_bytes: Limit
    hard_limit_bytes: Limit
    dumpable: int | None
    """The process's flag: 0 no dumps, 1 dumps, 2 dumps that root alone can read."""
    destination: Destination | None
    pattern: str | None
    locked_memory_left_out: bool | None
    """Of this process's memory, asked of the kernel."""


@dataclass(frozen=True, slots=True)
class SwapArea:
    """One place that the system swaps to."""

    name: str
    size_bytes: int
    medium: Medium
    """"memory": compressed RAM (zram); "unknown": a disk or file that may be encrypted or not."""


@dataclass(frozen=True, slots=True)
class Swap:
    """Where the system can write memory that is not locked."""

    areas: tuple[SwapArea, ...] | None
    group_limit_bytes: Limit
    """How much the control group of this process may swap out; 0 for nothing."""
    hibernation: bool | None
    """Whether the system can write all memory, locked or not, to disk."""

    @property
    def in_clear(self) -> tuple[SwapArea, ...]:
        """The swap areas that are known to write memory to a disk in clear."""
        return tuple(area for area in self.areas or () if area.medium == "unknown")


@dataclass(frozen=True, slots=True)
class Tracing:
    """Whether other processes can read this one's memory."""

    by_same_user: bool | None
    """Whether any process of the same user can read it now."""
    yama: bool | None
    """Whether the kernel restricts ptrace by Yama."""
    yama_scope: int | None
    """0 none, 1 to descendants, 2 to CAP_SYS_PTRACE, 3 no ptrace at all."""


@dataclass(frozen=True, slots=True)
class Crypto:
    """The crypto library, and what the processor offers to it."""

    library: str
    cpu_features: dict[str, bool]
    aes_gcm: str | None
    """The fastest code that the library has for this processor."""
    rsa: str | None


@dataclass(frozen=True, slots=True)
class Machine:
    """All facts about this machine."""

    locking: Locking
    core_dumps: CoreDumps
    swap: Swap
    tracing: Tracing
    crypto: Crypto


def survey(root: Path = ROOT) -> Machine:
    """Ask the system for every fact.

    Args:
        root: The directory below which `proc` and `sys` are read.
    """
    return Machine(locking(root), core_dumps(root), swap(root), tracing(root), crypto())


def locking(root: Path = ROOT) -> Locking:
    """Try to lock a page, and read limits and use."""
    can_lock = _core.can_lock()
    status = _core.memory_status()
    soft, hard = _limits("RLIMIT_MEMLOCK")
    return Locking(
        can_lock=can_lock,
        level=lock_level(can_lock, status["budget_bytes"]),
        limit_applies=status["limit_bytes"] >= 0,
        soft_limit_bytes=soft,
        hard_limit_bytes=hard,
        budget_bytes=status["budget_bytes"],
        locked_bytes=status["locked_bytes"],
        unlocked_bytes=status["unlocked_bytes"],
        in_use_bytes=status["in_use_bytes"],
        process_locked_bytes=_process_locked_bytes(root),
        hidden=_core.memory_is_hidden(),
        hiding_refused="memfd_secret" in _core.refused_calls(),
    )


def lock_level(can_lock: bool, budget_bytes: int) -> Level:
    """Return what the memory that may be locked is enough for."""
    if not can_lock:
        return "none"
    if budget_bytes < MIN_BUDGET_BYTES:
        return "scarce"
    return "small" if budget_bytes < _COMFORTABLE_BUDGET_BYTES else "comfortable"


def core_dumps(root: Path = ROOT) -> CoreDumps:
    """Read what would happen to this process's memory if it crashed now."""
    soft, hard = _limits("RLIMIT_CORE")
    pattern = _text(root / "proc/sys/kernel/core_pattern")
    destination = _destination(pattern, _text(root / "proc/sys/kernel/core_uses_pid"))
    dumpable = _core.dumpable()
    possible = dumps_possible(destination, soft, dumpable)
    return CoreDumps(possible, soft, hard, dumpable, destination, pattern, locked_memory_left_out(root))


def dumps_possible(destination: Destination | None, soft_limit_bytes: Limit, dumpable: int | None) -> bool | None:
    """Say whether a crash leaves a core dump; None if that is unknown.

    Source: core(5). The limit stops files alone; programs and sockets get dumps of any size.
    """
    limited = soft_limit_bytes == 0 and destination not in ("program", "socket", None)
    if dumpable == _NOT_DUMPABLE or destination == "nowhere" or limited:
        return False
    return None if destination is None or soft_limit_bytes is None else True


def _destination(pattern: str | None, uses_pid: str | None) -> Destination | None:
    if pattern is None:
        return None
    if not pattern:  # with core_uses_pid, the file is then named ".PID"
        return "nowhere" if uses_pid == "0" else "file"
    kinds: dict[str, Destination] = {"|": "program", "@": "socket"}
    return kinds.get(pattern[0], "file")


def locked_memory_left_out(root: Path = ROOT) -> bool | None:
    """Say whether core dumps leave out a SecureBuffer made just now, and all memory that the core has locked.

    Source: proc_pid_smaps(5), the flags `lo` (locked) and `dd` (not dumped) of each mapping. Memory that others in the
    process have locked counts too. If the file is hidden, the result is False if the system refused to
    leave memory out of dumps, and None otherwise.
    """
    with SecureBuffer(1) as probe:
        smaps = _text(root / "proc/self/smaps")
        flags = list(_flags_of_own(smaps or "", probe.address))
    if "MADV_DONTDUMP" in _core.refused_calls():
        return False
    return all("dd" in own for own in flags) if flags else None


def _flags_of_own(smaps: str, address: int) -> Iterator[list[str]]:
    """Yield the flags of the mapping that holds an address, and of all that are locked."""
    holds = False
    for line in smaps.splitlines():
        if header := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            holds = int(header[1], 16) <= address < int(header[2], 16)
        elif line.startswith("VmFlags:"):
            flags = line.split()[1:]
            if holds or "lo" in flags:
                yield flags


def swap(root: Path = ROOT) -> Swap:
    """Read where the system swaps to."""
    table = _text(root / "proc/swaps")
    states = _text(root / "sys/power/state")
    return Swap(
        areas=None if table is None else tuple(_areas(table, root)),
        group_limit_bytes=_group_limit_bytes(root),
        hibernation=None if states is None else "disk" in states.split(),
    )


def _areas(table: str, root: Path) -> Iterator[SwapArea]:
    for line in table.splitlines()[1:]:
        escaped, kind, size_kib, *_ = line.split()
        # Spaces and the like are written as octal numbers (seq_path in the kernel).
        name = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), escaped)
        path = root / name.lstrip("/")
        device = _device_of_file(root, path) if kind == "file" else _device_named(root, path)
        yield SwapArea(name, int(size_kib) * 1024, _medium(root, device))


def _device_named(root: Path, path: Path) -> Path:
    """Return the directory in sysfs of a block device; /dev/mapper has links to the kernel's names."""
    return root / "sys/class/block" / Path(os.path.realpath(path)).name


def _device_of_file(root: Path, path: Path) -> Path | None:
    """Return the directory in sysfs of the block device that a file lies on."""
    try:
        device = path.stat().st_dev
    except OSError:
        return None
    return root / "sys/dev/block" / f"{os.major(device)}:{os.minor(device)}"


def _medium(root: Path, device: Path | None) -> Medium:
    if device is None:
        return "unknown"
    if device.name.startswith("zram"):  # with a backing device, it writes to that what it cannot compress
        backing = _text(device / "backing_dev") or "none"
        return "memory" if backing == "none" else _medium(root, _device_named(root, root / backing.lstrip("/")))
    if (_text(device / "dm/uuid") or "").startswith("CRYPT-"):
        return "dm-crypt"
    # A volume (LVM) is encrypted if all devices below it are.
    below = {_medium(root, slave) for slave in _entries(device / "slaves")}
    return "dm-crypt" if below == {"dm-crypt"} else "unknown"


def _group_limit_bytes(root: Path) -> Limit:
    """Return what the control group of this process, and those above it, may swap out (cgroup v2, memory.swap.max)."""
    lines = (_text(root / "proc/self/cgroup") or "").splitlines()
    own = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), None)
    if own is None:
        return None
    parts = Path(own).parts
    groups = (root.joinpath("sys/fs/cgroup", *parts[:depth]) for depth in range(len(parts) + 1))
    limits = [limit for group in groups if (limit := _text(group / "memory.swap.max"))]
    return min((int(limit) for limit in limits if limit.isdecimal()), default="unlimited" if limits else None)


def tracing(root: Path = ROOT) -> Tracing:
    """Read who may read this process's memory."""
    kernel = root / "proc/sys/kernel"
    scope = _text(kernel / "yama/ptrace_scope")
    yama_scope = int(scope) if scope and scope.isdecimal() else None
    # If the directory of all such settings is missing, a missing setting says nothing.
    yama = (kernel / "yama").is_dir() if kernel.is_dir() else None
    return Tracing(traced_by_same_user(yama, yama_scope, _core.dumpable()), yama, yama_scope)


def traced_by_same_user(yama: bool | None, yama_scope: int | None, dumpable: int | None) -> bool | None:
    """Say whether any process of the same user can read this one's memory; None if that is unknown.

    Source: ptrace(2), "Ptrace access mode checking"; /proc/PID/mem and process_vm_readv(2) ask for the same.
    """
    if dumpable is None:
        return None
    if dumpable != _DUMPABLE_BY_USER or (yama_scope or 0) >= _YAMA_RELATIONAL:
        return False
    return None if yama is None or (yama and yama_scope is None) else True


def crypto() -> Crypto:
    """Name the crypto library, and the code that it has for this processor."""
    features = _core.cpu_features()
    return Crypto(_core.crypto_version(), features, aes_gcm_code(features), rsa_code(features))


def aes_gcm_code(features: dict[str, bool]) -> str | None:
    """Name the code by which AWS-LC computes AES-GCM.

    Source: crypto/fipsmodule/modes/gcm.c, `crypto_gcm_avx512_enabled` and its like.
    """
    if "pmull" in features:
        return "AES and PMULL instructions" if _all(features, "aes", "pmull") else "software"
    if "pclmulqdq" not in features:
        return None
    if _all(features, "vaes", "vpclmulqdq", "avx512f", "avx512bw", "avx512dq", "avx512vl"):
        return "VAES with AVX-512"
    return "AES-NI with PCLMULQDQ" if _all(features, "aes", "pclmulqdq") else "software"


def rsa_code(features: dict[str, bool]) -> str | None:
    """Name the code by which AWS-LC computes with an RSA private key.

    Source: crypto/fipsmodule/bn/exponentiation.c, `BN_mod_exp_mont_consttime_x2`; bn/asm/x86_64-mont.pl.
    """
    if "adx" not in features:
        return None
    if _all(features, "avx512ifma", "avx512f", "avx512bw", "avx512dq", "avx512vl"):
        return "AVX-512 IFMA"
    return "MULX with ADX" if _all(features, "bmi1", "bmi2", "adx") else "plain x86-64"


def _all(features: dict[str, bool], *names: str) -> bool:
    return all(features.get(name, False) for name in names)


def _process_locked_bytes(root: Path) -> int | None:
    figure = re.search(r"^VmLck:\s+(\d+) kB$", _text(root / "proc/self/status") or "", re.MULTILINE)
    return int(figure[1]) * 1024 if figure else None


def _limits(name: str) -> tuple[Limit, Limit]:
    """Return a resource limit of this process, soft and hard (getrlimit(2)); Windows has none."""
    try:
        import resource

        soft, hard = resource.getrlimit(getattr(resource, name))
    except (ImportError, AttributeError, OSError, ValueError):
        return None, None
    unlimited = resource.RLIM_INFINITY
    return ("unlimited" if soft == unlimited else soft), ("unlimited" if hard == unlimited else hard)


def _text(path: Path) -> str | None:
    """Return what a file holds, without the white space around; None if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _entries(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []
