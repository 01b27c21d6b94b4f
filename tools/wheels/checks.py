"""What each wheel has to be, before anybody installs it."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

from wheels import unwinder
from wheels.source import Source
from wheels.targets import Target

_MODULE = "nomyo/_core.abi3.so"
_PYTHON = "3.11"
# A wheel for glibc may need these and nothing else; one for musl, its C library.
_LIBRARIES = re.compile(
    r"(libc|libm|libgcc_s|libpthread|libdl|librt|ld-linux-x86-64|ld-linux-aarch64)\.so\.\d|libc\.musl-\w+\.so\.1"
)


class WheelError(Exception):
    """A wheel is not as it has to be."""


def check(wheel: Path, target: Target, source: Source) -> str:
    """Check a wheel; return a line that says what was found.

    Raises:
        WheelError: The wheel is not as it has to be.
    """
    _run("auditwheel", "show", str(wheel), expected=target.tag)
    _run("abi3audit", "--strict", "--assume-minimum-abi3", _PYTHON, str(wheel))
    with tempfile.TemporaryDirectory() as folder:
        module = Path(zipfile.ZipFile(wheel).extract(_MODULE, folder))
        _check_places(module.read_bytes(), source)
        with module.open("rb") as opened:
            elf = ELFFile(opened)
            libraries = _libraries(elf)
            oldest = max(_versions(elf), default=None)
    if foreign := [name for name in libraries if not _LIBRARIES.fullmatch(name)]:
        raise WheelError(f"{wheel.name} needs {', '.join(foreign)}, which a machine may not have")
    if not target.musl and unwinder.LIBRARY not in libraries:
        raise WheelError(f"{wheel.name} has an unwinder of its own: see tools/wheels/unwinder.py")
    glibc = f"glibc {'.'.join(map(str, oldest))}" if oldest else "musl"
    return f"{wheel.name}: {glibc}, needs {', '.join(libraries)}"


def _run(program: str, *arguments: str, expected: str = "") -> None:
    command = [str(Path(sys.executable).parent / program), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode or expected not in done.stdout:
        raise WheelError(
            f"{program} {arguments[0]} does not find it to be {expected or 'sound'}:\n{done.stdout}{done.stderr}"
        )


def _check_places(module: bytes, source: Source) -> None:
    """No folder of this machine stands in the module: it would be another one elsewhere."""
    for folder in (source.folder, Path.home() / ".cargo", Path.home() / ".cache"):
        if str(folder).encode() in module:
            raise WheelError(f"the module names {folder}, a folder of this machine")


def _libraries(elf: ELFFile) -> list[str]:
    sections = [section for section in elf.iter_sections() if isinstance(section, DynamicSection)]
    needed: Iterator[Any] = chain.from_iterable(section.iter_tags("DT_NEEDED") for section in sections)
    return [tag.needed for tag in needed]


def _versions(elf: ELFFile) -> set[tuple[int, ...]]:
    """Return the versions of glibc that symbols ask for."""
    sections = [section for section in elf.iter_sections() if isinstance(section, GNUVerNeedSection)]
    names = {
        version.name
        for section in sections
        for _, versions in section.iter_versions()
        for version in versions
        if version.name.startswith("GLIBC_2")
    }
    return {tuple(int(part) for part in name.removeprefix("GLIBC_").split(".")) for name in names}
