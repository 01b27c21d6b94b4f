"""Imports every module of the package as on another platform. Run as a program: the platform's name is its argument.

First all modules are imported as they are on this machine, and with them the standard library and the libraries of
others, whose branches for other platforms need modules that are not here. Then the names that the other platform lacks
are taken away, and the package's own modules are imported again. Prints the modules that failed, each with its error,
and how many were imported.
"""

from __future__ import annotations

import importlib
import os
import pathlib
import pkgutil
import select
import signal
import socket
import sys
import time
from types import ModuleType

# The names of this machine that the platform lacks ("Availability" in the manual of each module).
ON_LINUX_ALONE = {
    os: "O_TMPFILE O_PATH O_DIRECT O_NOATIME memfd_create getrandom sched_getaffinity sched_setaffinity eventfd"
    " pidfd_open fdatasync posix_fallocate posix_fadvise pipe2 copy_file_range splice setns unshare getxattr",
    signal: "sigwaitinfo sigtimedwait SIGRTMIN SIGRTMAX SIGPOLL SIGPWR SIGSTKFLT",
    socket: "SO_PEERCRED TCP_KEEPIDLE TCP_USER_TIMEOUT SO_BINDTODEVICE AF_VSOCK AF_NETLINK AF_PACKET AF_ALG",
    select: "epoll",
}
ON_POSIX_ALONE = {
    os: "fork forkpty register_at_fork geteuid getuid getegid getgid getgroups getresuid setuid seteuid setsid getsid"
    " getpgid getpgrp setpgid tcgetpgrp killpg wait wait3 wait4 waitid WNOHANG WUNTRACED WIFEXITED WIFSTOPPED"
    " openpty ttyname mkfifo sysconf confstr statvfs fstatvfs uname getloadavg nice fchdir fchown chown lchown chroot"
    " fchmod pread pwrite preadv pwritev readv writev sendfile posix_spawn ctermid major minor"
    " O_NOFOLLOW O_CLOEXEC O_DIRECTORY O_NONBLOCK O_NOCTTY O_SYNC O_DSYNC",
    signal: "SIGUSR1 SIGUSR2 SIGHUP SIGQUIT SIGPIPE SIGCHLD SIGALRM SIGTSTP SIGCONT SIGSTOP SIGKILL SIGTTIN SIGTTOU"
    " SIGWINCH SIGURG SIGPROF SIG_BLOCK SIG_SETMASK SIG_UNBLOCK pthread_sigmask pthread_kill sigwait sigpending"
    " setitimer getitimer alarm pause siginterrupt",
    socket: "AF_UNIX socketpair SO_REUSEPORT SCM_RIGHTS CMSG_LEN sethostname",
    select: "poll",
    time: "clock_gettime clock_gettime_ns clock_getres tzset CLOCK_BOOTTIME CLOCK_MONOTONIC",
}
POSIX_MODULES = ["fcntl", "resource", "termios", "tty", "pty", "pwd", "grp", "syslog", "readline", "posix"]
PLATFORMS = {
    "win32": ("nt", (ON_LINUX_ALONE, ON_POSIX_ALONE), POSIX_MODULES),
    "darwin": ("posix", (ON_LINUX_ALONE,), []),
}


def modules() -> list[str]:
    """Return the names of all modules of the package, except the command `python -m nomyo`."""
    import nomyo

    found = pkgutil.walk_packages(nomyo.__path__, "nomyo.")
    return sorted(module.name for module in found if module.name not in {"nomyo.__main__", "nomyo._core"})


def failures(names: list[str]) -> dict[str, str]:
    """Import modules, and return the errors of those that failed."""
    failed = {}
    for name in names:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - whatever a module raises is what the test shows
            failed[name] = f"{type(error).__name__}: {error}"
    return failed


def forget_package() -> None:
    """Forget the package's modules, but not the native core, which a process loads once."""
    for name in [name for name in sys.modules if name.split(".")[0] == "nomyo"]:
        if name != "nomyo._core":
            del sys.modules[name]


def become(platform: str) -> None:
    """Take away what a platform lacks."""
    os_name, lacks, hidden = PLATFORMS[platform]
    for table in lacks:
        for module, names in table.items():
            take_away(module, names.split())
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment] # as import reads it: there is no such module
    for module in [module for name, module in sys.modules.items() if name.startswith("pathlib")]:
        if hasattr(module, "WindowsPath"):
            module.__dict__["WindowsPath"] = pathlib.PosixPath  # `Path` makes the one that `os.name` says
    os.name = os_name
    sys.platform = platform


def take_away(module: ModuleType, names: list[str]) -> None:
    """Remove names from a module; what this version of Python does not have either is not missed."""
    for name in names:
        module.__dict__.pop(name, None)


def main(platform: str) -> None:
    """Import everything twice, and print what failed the second time only."""
    names = modules()
    missing_here = failures(names)
    forget_package()
    become(platform)
    for name, error in failures(names).items():
        if name not in missing_here:
            print(name, error)
    print(len(names) - len(missing_here), "modules")


if __name__ == "__main__":
    main(sys.argv[1])
