"""Runs a program under limits or with fewer rights, as `prlimit`, `setpriv` and `setsid` do, with no more than Python.

    python tests/support/limits.py [--LIMIT=SOFT[:HARD]] ... [--without=CAPABILITY,...] [--user=ID] [--terminal] WORD...

LIMIT is a name of getrlimit(2) in small letters (`memlock`). Its values are numbers or `unlimited`; one is for both.
CAPABILITY is one of those below, or `all`. With --terminal, the terminal on stdin becomes the controlling one of a new
session. The program takes the place of this one (execve(2)): its process is the one that the caller started.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import sys
import termios
from pathlib import Path

# include/uapi/linux/capability.h and prctl.h
_CAPABILITIES = {"dac_override": 1, "dac_read_search": 2, "ipc_lock": 14}
_VERSION_3 = 0x20080522
_PR_CAPBSET_DROP = 24


def _drop(numbers: set[int]) -> None:
    """Give capabilities up: from the bounding set and the inheritable set, whence execve(2) takes root's."""
    libc = ctypes.CDLL(None, use_errno=True)
    for number in numbers:
        if libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), f"capability {number} cannot be dropped")
    header, sets = (ctypes.c_uint32 * 2)(_VERSION_3, 0), (ctypes.c_uint32 * 6)()
    libc.capget(header, sets)
    for number in numbers:
        sets[3 * (number // 32) + 2] &= ~(1 << number % 32)  # effective, permitted, inheritable, 32 of each
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "the inheritable set cannot be changed")


def main(words: list[str]) -> None:
    while words[0].startswith("--"):
        name, _, value = words.pop(0).removeprefix("--").partition("=")
        if name == "without":
            last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
            _drop(set(range(last + 1)) if value == "all" else {_CAPABILITIES[each] for each in value.split(",")})
        elif name == "user":
            os.setgroups([])
            os.setgid(int(value))
            os.setuid(int(value))
        elif name == "terminal":
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        else:
            both = [resource.RLIM_INFINITY if each == "unlimited" else int(each) for each in value.split(":")]
            resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (both[0], both[-1]))
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1:])
