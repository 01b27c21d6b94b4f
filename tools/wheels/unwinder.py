"""Has a wheel use the system's unwinder, not the one that zig would link into it.

At the end of a process, Python ends threads by `pthread_exit`, for which glibc unwinds their stacks with libgcc_s. It
calls back into Rust's code for each frame of ours. If that code has an unwinder of its own, the two do not know each
other's structures, and the process ends with SIGSEGV. Zig gives libgcc_s to no program, so it is given the names alone.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wheels.targets import GLIBC, Target

LIBRARY = "libgcc_s.so.1"

# What Rust's library calls, by the version of libgcc_s that brought it: the same on x86-64 and ARM.
_NAMES = {
    "GCC_3.0": "DeleteException GetDataRelBase GetGR GetIP GetLanguageSpecificData GetRegionStart GetTextRelBase "
    "RaiseException Resume SetGR SetIP",
    "GCC_3.3": "Backtrace FindEnclosingFunction GetCFA",
    "GCC_4.2.0": "GetIPInfo",
}


def stand_in(target: Target, folder: Path) -> Path:
    """Write a library with the names of libgcc_s and nothing behind them, to link against; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {version: [f"_Unwind_{name}" for name in listed.split()] for version, listed in _NAMES.items()}
    source, versions, library = folder / "unwinder.c", folder / "unwinder.map", folder / LIBRARY
    source.write_text("".join(f"void {name}(void) {{}}\n" for listed in names.values() for name in listed))
    versions.write_text(
        "".join(f"{version} {{ global: {'; '.join(listed)}; }};\n" for version, listed in names.items())
    )
    subprocess.run(
        [
            *(sys.executable, "-m", "ziglang", "cc", "-target", f"{target.machine}-linux-gnu.{GLIBC}", "-shared"),
            *("-nostdlib", "-O1", "-g0", f"-Wl,-soname,{LIBRARY}", f"-Wl,--version-script={versions}"),
            *(str(source), "-o", str(library)),
        ],
        check=True,
    )
    return library
