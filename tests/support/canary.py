"""Where a canary came to be: in files, and in what the system calls of a process wrote."""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from support.process import unmeasured

CANARY = "canary-prompt-4f0b"
# All that puts bytes anywhere. Whoever maps a file to write there opens it first, and the file is searched.
WRITES: Final = "write,pwrite64,writev,pwritev,pwritev2,sendto,sendmsg,sendmmsg"
LINKS: Final = "link,linkat,symlink,symlinkat,rename,renameat,renameat2"
OPENS: Final = f"open,openat,openat2,creat,memfd_create,mknod,mknodat,{LINKS}"
# The command under development mode, with every logger at DEBUG.
WITH_LOGS = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, filename=sys.argv.pop(1))
from nomyo.cli import main
main(sys.argv[1:])
"""


def environment(place: Path) -> dict[str, str]:
    kinds = ("CONFIG", "DATA", "STATE", "CACHE")
    homes = {"HOME": place / "home", "TMPDIR": place / "tmp", **{f"XDG_{kind}_HOME": place / "home" for kind in kinds}}
    more = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONASYNCIODEBUG": "1", "NOMYO_API_KEY": "key"}
    more["NOMYO_RATE_DIR"] = str(place / "rates")  # what processes share there is searched, too
    return unmeasured() | {name: str(path) for name, path in homes.items()} | more


def holders(place: Path) -> list[str]:
    """Return the names of the files that hold the canary, those of shared memory among them."""
    return sorted(path.name for path in files_with(CANARY, place))


def files_with(word: str, *places: Path) -> list[Path]:
    """Return the files that hold a word, those of shared memory among them."""
    return sorted(path for root in (*places, Path("/dev/shm")) for path in root.rglob("*") if _has(path, word))


def _has(path: Path, word: str) -> bool:
    try:
        return path.is_file() and word.encode() in path.read_bytes()
    except FileNotFoundError:  # another process removed it meanwhile
        return False


def nameless_in(directory: Path) -> str:
    """Return what stands for a file without a name."""
    return f"nameless in {directory.name}"


def names_written_to(calls: str) -> set[str]:
    """Return where the canary was written: by the names that strace gives to descriptors."""
    found = set()
    for line in calls.splitlines():
        if CANARY not in line or not (call := re.match(rf"\d+ +(?:{WRITES.replace(',', '|')})\(\d+<([^>]*)>", line)):
            continue
        path = Path(call[1])  # a nameless file is shown as `/directory/#inode (deleted)`
        found.add(nameless_in(path.parent) if path.name.startswith("#") else path.name)
    return found


def names_made(calls: str) -> set[str]:
    """Return the files that were opened to write to, made or named; of nameless ones, their directory."""
    found = set()
    for name, arguments in re.findall(r"^\d+ +(\w+)\((.*)$", calls, re.MULTILINE):
        if name not in OPENS.split(",") or " = -1 " in arguments:
            continue
        if not name.startswith("open") or re.search(r"O_WRONLY|O_RDWR|O_CREAT", arguments):
            found |= {Path(path).name for path in re.findall(r'"([^"]*)"', arguments)}
    # Aside from descriptors, of /proc/self/fd, and what processes share to keep to a rate, which is searched.
    return {name for name in found if not re.fullmatch(r"\d+|[0-9a-f]{32}(\.\w+)*", name)}


@contextlib.contextmanager
def stream(kind: str) -> Iterator[tuple[int, list[bytes]]]:
    """Give a pipe or a terminal to write to; what came there is in the list when the block has ended."""
    reader, writer = os.openpty() if kind == "terminal" else os.pipe()
    came: list[bytes] = []

    def read() -> None:
        with contextlib.suppress(OSError):  # a terminal that nobody has open any more
            while piece := os.read(reader, 65536):
                came.append(piece)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield writer, came
    finally:
        os.close(writer)
        thread.join(timeout=10)
        os.close(reader)
