"""Searches the memory of running clients for secrets, this client's and the public one's: what `make prove` prints.

Each column is a program (`proved_child.py`) that sends the same five messages to a router on this machine and waits,
its client still alive, while every page that it has is read from outside. Ends with status 1 where a promise is broken,
with an error where a control was not found: the search would prove nothing.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.memory_scan import Find, count_places
from support.process import under_memlock_limit
from support.scanned import Waiting, running, written
from support.scene import KEY, Scene

PROGRAM = Path(__file__).with_name("proved_child.py")
REFERENCE = Path(__file__).parents[2] / ".venv-reference" / "bin" / "python"
KEY_BITS = 4096
HIDING = {"NOMYO_HIDE_MEMORY": "1"}
# What a row counts: the secrets whose names begin so.
ROWS = {
    "5 messages": "message",
    "5 answers": "answer",
    f"RSA-{KEY_BITS} private key": KEY,
    "... as PEM text": f"{KEY}, PEM",
    "AES keys of requests": "AES keys, requests",
    "AES keys of answers": "AES keys, answers",
}

METHOD = """
Each column is a process that sent five messages (ASCII, Latin-1, CJK, emoji; 96 to 200,000 characters) and waits, its
client, messages and answers still alive. All its pages in RAM or swap were read from outside through /proc/PID/mem and
searched for the texts (UTF-8, UTF-16, UTF-32, base64), the numbers of the private key in both byte orders, its PEM, and
the AES keys. Two controls, in ordinary and in locked memory, were found in each, and the first alone in each core dump.
In the columns "hidden", every page of memfd_secret(2) was tried too, by root, and each was refused.
"""


@dataclass
class Column:
    """What was found in one program, and what it and the kernel say of its locked memory."""

    title: str
    outside: dict[str, int]
    locked: dict[str, int]
    dumped: dict[str, int]
    protection: str
    protection_without_limit: str


def main() -> int:
    columns = [
        column("the objects alone", sys.executable, "objects"),
        column("nomyo 0.2.9", str(REFERENCE), "dict"),
        column("this, create()", sys.executable, "dict"),
        column("this, create_secure()", sys.executable, "secret"),
        column("this, create(), hidden", sys.executable, "dict", HIDING),
        column("this, create_secure(), hidden", sys.executable, "secret", HIDING),
    ]
    show(columns)
    objects, _, plain, secret, *hidden = columns
    broken = broken_promises(objects, plain, secret) + broken_by_hidden(objects, *hidden)
    print("\n".join(f"BROKEN: {promise}" for promise in broken) or "Every promise holds.")
    return int(bool(broken))


def column(title: str, python: str, way: str, env: Mapping[str, str] | None = None) -> Column:
    """Run one program twice, the second time where nothing can be locked, and search it."""
    with tempfile.TemporaryDirectory() as directory, Scene(Path(directory), key_bits=KEY_BITS) as scene:
        job = {**scene.job, "answers": written(scene.directory, scene.answers)}
        command = [python, str(PROGRAM), way]
        with running(command, scene.directory, job, env) as child:
            needles = scene.needles()
            finds, dumped, protection = child.search(needles), child.search_core(needles), protection_of(child)
            version = child.said.get("version")
        if way == "objects":
            return Column(title, *counted(finds, dumped), "-", "-")
        with running([*under_memlock_limit(0), *command], scene.directory, job, env) as child:
            unlocked = protection_of(child)
    return Column(title.replace("this", f"nomyo {version}"), *counted(finds, dumped), protection, unlocked)


def counted(finds: Sequence[Find], dumped: Sequence[Find]) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    parts = ([find for find in finds if not find.locked], [find for find in finds if find.locked], dumped)
    outside, locked, in_core = ({row: count(part, row) for row in ROWS} for part in parts)
    return outside, locked, in_core


def count(finds: Iterable[Find], row: str) -> int:
    numbers_only = ROWS[row] == KEY
    return count_places(
        find for find in finds if find.secret.startswith(ROWS[row]) and not (numbers_only and find.secret != KEY)
    )


def protection_of(child: Waiting) -> str:
    """Return what a program says of its protection, and what the kernel says that it has locked."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    locked = re.search(r"^VmLck:\s+(\d+) kB$", status, flags=re.MULTILINE)
    assert locked is not None
    # One page is the control's.
    locked_kib = max(0, int(locked[1]) - os.sysconf("SC_PAGESIZE") // 1024)
    hidden = "hidden, " if child.said.get("hidden") else ""
    return f'"{child.said.get("protection", "-")}", {hidden}{locked_kib} KiB'


def broken_promises(objects: Column, plain: Column, secret: Column) -> list[str]:
    """Say which promises do not hold."""
    broken = [f"{row} outside locked memory ({secret.title})" for row, found in secret.outside.items() if found]
    broken += [f"{row} in a core dump ({secret.title})" for row, found in secret.dumped.items() if found]
    for row in ROWS:
        allowed = objects.outside[row]
        if plain.outside[row] > allowed:
            broken.append(f"{row} outside locked memory ({plain.title}), beyond the {allowed} of the caller's objects")
        if plain.dumped[row] > allowed:
            broken.append(f"{row} in a core dump ({plain.title}), beyond the {allowed} of the caller's objects")
    for ours in (plain, secret):
        if not ours.protection.startswith('"full"') or ours.protection.endswith(" 0 KiB"):
            broken.append(f"full protection ({ours.title})")
        if ours.protection_without_limit != '"zeroing_only", 0 KiB':
            broken.append(f"an honest report where nothing can be locked ({ours.title})")
        if not ours.locked[f"RSA-{KEY_BITS} private key"]:
            broken.append(f"the private key in locked memory ({ours.title})")
    return broken


def broken_by_hidden(objects: Column, plain: Column, secret: Column) -> list[str]:
    """Say which promises of hidden memory do not hold: there is nothing in locked memory, nor anywhere else."""
    allowed = {plain.title: objects, secret.title: Column("nothing", {}, {}, {}, "-", "-")}
    broken = []
    for ours in (plain, secret):
        broken += [f"{row} in locked memory ({ours.title})" for row, found in ours.locked.items() if found]
        for part, found, most in (
            ("outside locked memory", ours.outside, allowed[ours.title].outside),
            ("in a core dump", ours.dumped, allowed[ours.title].dumped),
        ):
            broken += [f"{row} {part} ({ours.title})" for row in ROWS if found[row] > most.get(row, 0)]
        if not ours.protection.startswith('"full", hidden') or ours.protection.endswith(" 0 KiB"):
            broken.append(f"full and hidden protection ({ours.title})")
        if ours.protection_without_limit != '"zeroing_only", 0 KiB':
            broken.append(f"an honest report where nothing can be locked ({ours.title})")
    return broken


def show(columns: Sequence[Column]) -> None:
    """Print the table, as Markdown."""
    print("Places in memory where a secret was found: outside locked memory / in locked memory / in a core dump.\n")
    lines = [["secret", *(each.title for each in columns)]]
    lines += [
        [row, *(f"{each.outside[row]} / {each.locked[row]} / {each.dumped[row]}" for each in columns)] for row in ROWS
    ]
    lines.append(["says it protects, kernel says locked", *(each.protection for each in columns)])
    lines.append(["... where nothing can be locked", *(each.protection_without_limit for each in columns)])
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")
    print(METHOD)
    print(f"Linux {platform.release()} {platform.machine()}, CPython {platform.python_version()}: make prove")


if __name__ == "__main__":
    sys.exit(main())
