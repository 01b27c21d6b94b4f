"""`nomyo doctor`: how well this machine can protect secrets in memory, and what would help. Needs no extra.

With `--self` it examines this copy of nomyo instead (`installation`, `self_report`).

The facts are those of `nomyo.cli.doctor.machine`; here they are put into words, and each weakness gets its remedies.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from nomyo import __version__, _speed
from nomyo._finite_json import ascii_json
from nomyo._terminal_text import visible_line
from nomyo.cli.doctor import machine
from nomyo.cli.doctor.machine import CoreDumps, Limit, Locking, Machine, Swap, SwapArea, Tracing
from nomyo.cli.streams import write_stderr
from nomyo.memory import MIN_LIMIT_BYTES, get_memory_protection_info

_USAGE: Final = "Usage: nomyo doctor [--self] [--json]"
_HELP: Final = f"""\
{_USAGE}

  Tells how well this machine can protect secrets in memory, and what would
  help. With --self, it tells instead whether this copy of nomyo is what was
  installed.

Options:
  --self      Compare every installed file with RECORD, the list that the
              installer left. Name .pth files that no package lists, and modules
              that run in the place of others. Show of what the core was built.
  --json      Print the same facts as one JSON object. null stands for what
              the system does not tell.
  -h, --help  Show this message and exit.

Examples:
  What is in force here, and what to do about each weakness:
    nomyo doctor
  Whether memory can be locked, for a script:
    nomyo doctor --json | jq -e .locking.can_lock
  Whether this copy of nomyo was altered:
    nomyo doctor --self

Exit codes:
  0  The report was printed, whatever it says of the machine.
  1  It could not be written to the end. With --self: a file is altered,
     missing, unreadable or not in RECORD, RECORD cannot be used, or another
     module runs in the place of one of nomyo or of the standard library.
  2  The command cannot be run as asked.

Files:
  None are written. It reads what the system says about itself, below /proc and
  /sys; with --self, the installed files and the directories of sys.path."""
# Linux's own default, under which there is nothing to advise.
_COMFORTABLE_LIMIT_BYTES: Final = 8 * 1024 * 1024
_HARDEN: Final = "program     call nomyo.harden_process() when it starts"


@dataclass(frozen=True, slots=True)
class Advice:
    """A weakness of this machine, and what can be done about it."""

    weakness: str
    remedies: tuple[str, ...]


def main(arguments: Sequence[str]) -> int:
    """Print the report.

    Returns:
        The exit code: 0, whatever was found of the machine; 1 if this copy was examined and is not what was installed;
        2 for arguments that there are not.
    """
    if any(argument in ("--help", "-h") for argument in arguments):
        print(_HELP)
        return 0
    wanted = set(arguments)
    if not wanted <= {"--json", "--self"} or len(wanted) < len(arguments):
        write_stderr(f"{_USAGE}\nTry 'nomyo doctor --help' for help.")
        return 2
    if "--self" in wanted:
        from nomyo.cli.doctor import installation, self_report

        copy = installation.examine()
        _print(installation.as_json(copy) if "--json" in wanted else self_report.lines(copy))
        return 0 if copy.is_sound else 1
    found = machine.survey()
    _print(as_json(found) if "--json" in wanted else report(found))
    return 0


def _print(result: dict[str, object] | Iterator[str]) -> None:
    print(ascii_json(result, indent=2) if isinstance(result, dict) else "\n".join(map(visible_line, result)))


def as_json(found: Machine) -> dict[str, object]:
    """Return the facts and the advice as values for JSON."""
    protection = get_memory_protection_info()
    return {
        "nomyo_version": __version__,
        "python_version": platform.python_version(),
        "platform": platform.platform(),
        "protection": {"method": protection.method, "is_platform_secure": protection.is_platform_secure},
        **asdict(found),
        "speed": _speed.installed(),
        "advice": [asdict(advice) for advice in advise(found)],
    }


def report(found: Machine) -> Iterator[str]:
    """Yield the lines for people."""
    yield _line("nomyo", f"{__version__}, Python {platform.python_version()}, {platform.platform()}")
    yield from _crypto(found)
    yield from _libraries()
    yield from _locking(found.locking)
    yield from _core_dumps(found.core_dumps)
    yield from _swap(found.swap, hidden=found.locking.hidden is True)
    yield from _tracing(found.tracing)
    yield ""
    advice = advise(found)
    if not advice:
        yield "Nothing to advise."
    for one in advice:
        yield one.weakness
        yield from (f"  {remedy}" for remedy in one.remedies)


def _line(name: str, text: str) -> str:
    return f"{name:14} {text}"


def _crypto(found: Machine) -> Iterator[str]:
    crypto = found.crypto
    yield _line("crypto", f"{crypto.library}; AES-GCM: {crypto.aes_gcm or 'unknown'}; RSA: {crypto.rsa or 'unknown'}")
    there = " ".join(name for name, has in crypto.cpu_features.items() if has)
    missing = " ".join(name for name, has in crypto.cpu_features.items() if not has)
    yield _line("processor", (there or "unknown") + (f"; without {missing}" if missing else ""))


def _libraries() -> Iterator[str]:
    found = _speed.installed()
    loop, tls = found["loop"] or "asyncio", found["tls"] or "asyncio"
    lacks = "" if all(found.values()) else "; the extra `speed` brings what is faster"
    yield _line("speed", f"{loop} runs our commands, {tls} TLS of async clients{lacks}")


def _locking(locking: Locking) -> Iterator[str]:
    protection = get_memory_protection_info()
    yield _line("protection", f"{protection.method}: {protection.details}")
    yield _line("memory lock", f"{'works' if locking.can_lock else 'REFUSED'} (tried just now, on one page)")
    binds = "" if locking.limit_applies else "; neither binds this process"
    limits = f"{_limit(locking.soft_limit_bytes)}, hard limit {_limit(locking.hard_limit_bytes)}{binds}"
    yield _line("lock limit", f"{limits}: {locking.level}")
    yield _line("locked now", f"{_size(locking.locked_bytes)} of working memory, {_size(locking.unlocked_bytes)} not")
    yield _line("", f"{_size(locking.process_locked_bytes)} by this process in all")
    hidden = _yes_no(locking.hidden, "in force (tried just now): not even root can read it", "off")
    yield _line("hidden memory", "REFUSED by the system" if locking.hiding_refused else hidden)


def _core_dumps(dumps: CoreDumps) -> Iterator[str]:
    destination = {
        None: "where to is unknown",
        "nowhere": "core_pattern is empty",
        "file": f"to a file, by core_pattern {dumps.pattern}",
        "program": f"to a program, by core_pattern {dumps.pattern}",
        "socket": f"to a socket, by core_pattern {dumps.pattern}",
    }[dumps.destination]
    yield _line("core dumps", f"{_yes_no(dumps.possible, 'written', 'off')}; {destination}")
    limits = f"limit {_limit(dumps.soft_limit_bytes)}, hard limit {_limit(dumps.hard_limit_bytes)}"
    yield _line("", f"{limits}, dumpable flag {'unknown' if dumps.dumpable is None else dumps.dumpable}")
    yield _line(
        "", f"locked memory is {_yes_no(dumps.locked_memory_left_out, 'left out', 'INCLUDED', 'unknown if left out')}"
    )


def _swap(swap: Swap, *, hidden: bool) -> Iterator[str]:
    if not swap.areas:
        yield _line("swap", "unknown" if swap.areas is None else "none")
    for number, area in enumerate(swap.areas or ()):
        yield _line("" if number else "swap", _area(area))
    if swap.group_limit_bytes not in (None, "unlimited"):
        yield _line("", f"this process's control group may use {_limit(swap.group_limit_bytes)} of it")
    # kernel/power/hibernate.c, `hibernation_available`: not while a page of memfd_secret(2) exists.
    possible = "not possible while this process hides memory" if hidden else "possible"
    yield _line("hibernation", _yes_no(swap.hibernation, possible, "not possible"))


def _area(area: SwapArea) -> str:
    medium = {
        "memory": "compressed memory (zram)",
        "dm-crypt": "encrypted (dm-crypt)",
        "unknown": "not encrypted, as far as can be told",
    }[area.medium]
    return f"{area.name}, {_size(area.size_bytes)}, {medium}"


def _tracing(tracing: Tracing) -> Iterator[str]:
    readers = _yes_no(tracing.by_same_user, "any process of the same user", "not every process of the same user")
    yield _line("ptrace", f"{readers} can read this process's memory" if readers != "unknown" else readers)
    scopes = ("no restriction", "descendants only", "CAP_SYS_PTRACE only", "nobody")
    if tracing.yama_scope is None:
        yield _line("", _yes_no(tracing.yama, "Yama's ptrace_scope is unknown", "this kernel has no Yama"))
        return
    yield _line("", f"kernel.yama.ptrace_scope is {tracing.yama_scope}: {scopes[min(tracing.yama_scope, 3)]}")


def advise(found: Machine) -> list[Advice]:
    """Return one `Advice` for each weakness. An unknown fact is not a weakness."""
    weaknesses = (
        _about_locking(found.locking),
        _about_dumps(found.core_dumps),
        _about_locked_dumps(found.core_dumps),
        _about_tracing(found.tracing),
        _about_swap(found.swap),
        _about_hibernation(found.swap),
    )
    return [advice for advice in weaknesses if advice is not None]


def _about_locking(locking: Locking) -> Advice | None:
    weakness = {
        "none": "No memory can be locked: keys, prompts and answers can be swapped out:",
        "scarce": "Keys can be locked, but not all that a request needs: prompts and answers can be swapped out:",
        "small": "Requests can be locked, but not large answers nor many at once: those can be swapped out:",
        "comfortable": None,
    }[locking.level]
    if weakness is None:
        return None
    comfortable = _COMFORTABLE_LIMIT_BYTES
    kib, mib = comfortable // 1024, comfortable // 1024**2
    hard = locking.hard_limit_bytes
    allowed = hard == "unlimited" or (hard is not None and hard >= comfortable)
    login = "" if allowed else f", after a login with `USER - memlock {kib}` in /etc/security/limits.conf"
    remedies = (
        f"size        {MIN_LIMIT_BYTES // 1024} KiB at least for one client; {mib} MiB are comfortable",
        f"shell       ulimit -l {kib}{login}",
        f"systemd     LimitMEMLOCK={mib}M in the unit",
        f"container   --ulimit memlock={comfortable}",
        "Kubernetes  a pod has no field for it. For a container that runs as root: IPC_LOCK in its",
        "            securityContext.capabilities.add; else LimitMEMLOCK= in the unit of the node's container runtime",
        'program     secure_memory="require" refuses to work unprotected',
    )
    return Advice(weakness, remedies)


def _about_dumps(dumps: CoreDumps) -> Advice | None:
    if not dumps.possible:
        return None
    weakness = "A crash leaves a copy of this process's memory, with Python's own strings in it"
    if dumps.destination != "file":
        # RLIMIT_CORE only bounds core files, not cores that are piped to a program (core(5)).
        return Advice(f"{weakness}; no limit stops what goes to a {dumps.destination}:", (_HARDEN,))
    limits = ("shell       ulimit -c 0", "systemd     LimitCORE=0 in the unit", "container   --ulimit core=0")
    return Advice(f"{weakness}:", (_HARDEN, *limits))


def _about_locked_dumps(dumps: CoreDumps) -> Advice | None:
    if dumps.locked_memory_left_out is not False:
        return None
    return Advice("Core dumps, and those of gcore, include locked memory:", (_HARDEN,))


def _about_tracing(tracing: Tracing) -> Advice | None:
    if not tracing.by_same_user:
        return None
    user = "system      run the program under a user of its own"
    scope = ("system      sysctl kernel.yama.ptrace_scope=1",) if tracing.yama else ()
    return Advice("Any process of the same user can read this one's memory, locked or not:", (_HARDEN, *scope, user))


def _about_swap(swap: Swap) -> Advice | None:
    if not swap.in_clear or swap.group_limit_bytes == 0:
        return None
    names = ", ".join(area.name for area in swap.in_clear)
    return Advice(
        f"What is not locked, Python's own strings among it, may be written to {names}, perhaps in clear:",
        (
            "system      swapoff -a, or encrypt it (crypttab(5), option `swap`)",
            "systemd     MemorySwapMax=0 in the unit",
            "container   --memory-swap with the same value as --memory",
        ),
    )


def _about_hibernation(swap: Swap) -> Advice | None:
    if not swap.hibernation or not swap.in_clear:
        return None
    remedy = "system      systemctl mask hibernate.target hybrid-sleep.target suspend-then-hibernate.target"
    return Advice("Hibernation writes all memory to swap, locked or not, perhaps in clear:", (remedy,))


def _yes_no(fact: bool | None, yes: str, no: str, unknown: str = "unknown") -> str:
    if fact is None:
        return unknown
    return yes if fact else no


def _limit(limit: Limit) -> str:
    if limit is None:
        return "unknown"
    return "unlimited" if limit == "unlimited" else _size(limit)


def _size(size_bytes: int | None) -> str:
    if size_bytes is None:
        return "unknown"
    for unit, name in ((1024**3, "GiB"), (1024**2, "MiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:.1f} {name}"
    return f"{size_bytes // 1024} KiB"
