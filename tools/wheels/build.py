"""Compiles one wheel so that it does not depend on the machine that compiles.

Names of folders would stand in panic messages and in what the C compiler writes: they are mapped to fixed ones. Dates
come from the commit. Zig brings the C library and the linker, so that those of the machine do not matter either.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from wheels import c_library, rewrite, unwinder
from wheels.source import Source
from wheels.targets import Target

# What of the environment changes the code, besides what is set below.
_NOT_INHERITED = (
    "AWS_LC_",
    "CARGO_BUILD_",
    "CARGO_ENCODED_",
    "CARGO_PROFILE_",
    "CFLAGS",
    "MATURIN_",
    "PYO3_",
    "RUSTC",
    "RUSTFLAGS",
)


def build(source: Source, target: Target, out: Path, cache: Path) -> Path:
    """Compile the wheel for `target` into the folder `out`; return its path.

    Args:
        source: the clone that is built.
        target: the machine for which it is built.
        out: a folder, made if missing; a wheel of the same name in it is replaced.
        cache: the folder for what the compilers write.

    Raises:
        subprocess.CalledProcessError: A program failed, and has said why.
    """
    subprocess.run(["rustup", "target", "add", target.triple], check=True)
    fresh = cache / "fresh" / target.triple
    for left in fresh.glob("*.whl"):
        left.unlink()
    command = [
        *(sys.executable, "-m", "maturin", "build", "--release", "--locked", "--strip", "--zig", "--quiet"),
        *("--target", target.triple, "--compatibility", target.tag),
        *("--target-dir", str(cache), "--out", str(fresh)),
    ]
    system = c_library if target.musl else unwinder
    library = system.stand_in(target, cache / "stand-ins" / target.triple)
    subprocess.run(command, check=True, cwd=source.folder, env=_environment(source, target, cache, library))
    (wheel,) = fresh.glob("*.whl")
    out.mkdir(parents=True, exist_ok=True)
    change = c_library.without_name_of_zig if target.musl else bytes
    return rewrite.rewrite(wheel, out / wheel.name, source, change)


def _environment(source: Source, target: Target, cache: Path, library: Path) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_INHERITED)}
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))
    # The last one that fits is taken: rustc(1), gcc(1).
    folders = {cargo: "/cargo", source.folder: "/nomyo", cache: "/target"}
    rust = [f"--remap-path-prefix={folder}={name}" for folder, name in folders.items()]
    if target.musl:  # Python itself loads musl; a second one inside the module would have an allocator of its own
        # The linker would leave the stand-in out, which is empty.
        rust += ["-Ctarget-feature=-crt-static", "-Clink-arg=-Wl,--no-as-needed"]
    rust.append(f"-Clink-arg={library}")
    # What maturin makes of zig writes debugging information by default, which no wheel holds.
    c_flags = ["-g0", *(f"-ffile-prefix-map={folder}={name}" for folder, name in folders.items())]
    return {
        **inherited,
        "PATH": f"{Path(sys.executable).parent}:{inherited['PATH']}",
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(rust),
        "CFLAGS": " ".join(c_flags),
        "MATURIN_NO_MISSING_BUILD_BACKEND_WARNING": "1",
        "NOMYO_BUILD_COMMIT": source.commit,
        "SOURCE_DATE_EPOCH": str(source.date),
        "ZERO_AR_DATE": "1",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
