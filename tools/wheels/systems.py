"""The Pythons that run a wheel: on x86-64 this machine's own, otherwise one of another system, below a folder.

Those are started without a chroot: by musl's loader, or by an emulator that looks for libraries in the folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from wheels.targets import Target

_DEBIAN = "bookworm"
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# What Debian's Python 3.11 for ARM needs beside the system itself.
_PACKAGES = "python3.11-minimal,libpython3.11-stdlib"
_COMPILE_FOR_MUSL = Path(__file__).with_name("musl_python.sh")


def missing(target: Target) -> str:
    """Return what this machine lacks to run the wheel, in words; "" if it lacks nothing."""
    needed = ["qemu-aarch64-static"] if target.arm else []
    lacks = []
    if target.musl:
        needed += ["apt-get", "dpkg-deb", "make", "perl", "readelf"]
        lacks += [] if _KEYS.exists() else ["Debian's lists of packages"]
        lacks += [] if sys.version_info[:2] == (3, 11) else ["CPython 3.11, to compile another one"]
    elif target.arm:
        needed.append("debootstrap")
        lacks += ["root"] if os.geteuid() else []
    return ", ".join([*(program for program in needed if not shutil.which(program)), *lacks])


def other_python(target: Target, cache: Path) -> list[str]:
    """Return the command that starts Python 3.11 of another system, which is made in the folder `cache` if missing.

    Raises:
        subprocess.CalledProcessError: It could not be made, and a program has said why.
    """
    root = _musl_system(target, cache / "musl") if target.musl else _arm_system(cache / "arm64")
    start = ["qemu-aarch64-static", "-L", str(root)] if target.arm else [str(root / "lib" / "ld-musl-x86_64.so.1")]
    return [*start, str(root / "usr" / "bin" / "python3.11")]


def pip_options(target: Target) -> list[str]:
    """Return pip's options that choose wheels for that Python, not for the one that runs pip."""
    system = "musllinux_1" if target.musl else "manylinux_2"
    oldest, newest = (1, 2) if target.musl else (17, 36)
    platforms = [f"{system}_{minor}_{target.machine}" for minor in range(oldest, newest + 1)]
    if not target.musl:
        platforms.append(f"manylinux2014_{target.machine}")
    return ["--python-version", "3.11", *(f"--platform={platform}" for platform in platforms)]


def _arm_system(root: Path) -> Path:
    """Unpack Debian's packages for ARM, without the scripts that would set up a system; return the folder."""
    if not (root / "usr" / "bin" / "python3.11").exists():
        options = ["--foreign", "--arch=arm64", "--variant=minbase", f"--include={_PACKAGES}"]
        subprocess.run(["debootstrap", *options, _DEBIAN, root], check=True, stdout=subprocess.DEVNULL)
        for package in sorted((root / "var" / "cache" / "apt" / "archives").glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    return root


def _musl_system(target: Target, cache: Path) -> Path:
    """Compile CPython for musl, some minutes; return the folder with it and musl."""
    command = [str(_COMPILE_FOR_MUSL), target.machine, str(cache)]
    env = {**os.environ, "PYTHON": sys.executable}
    subprocess.run(command, check=True, env=env, stdout=subprocess.DEVNULL)
    return cache / target.machine
