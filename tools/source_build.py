"""The build backend (PEP 517): maturin's, which says in one sentence what is missing, and gets the crates first.

It refuses Pythons that the package itself would refuse, once it were compiled (`python/nomyo/_missing_core.py`).

Source distributions bring no crates: with them they would have 40 MB instead of 0.6, for the few who build in a place
without a network and have a mirror or `cargo vendor` of their own (docs/decisions.md).
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from typing import Any

import maturin
from maturin import build_sdist  # a hook, too, which build frontends look for here

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_ROOT = Path(__file__).parents[1]
_NOT_SERVED = "nomyo serves ordinary builds of CPython {needed} and later, and this is {given}: build it with {instead}"
_WITHOUT_RUST = (
    "To be built from source, nomyo needs Rust {needed} or later, and there is no cargo in PATH: install a wheel "
    "(pip install --only-binary=:all: nomyo), or Rust (https://rustup.rs)"
)
_TOO_OLD = (
    "To be built from source, nomyo needs Rust {needed} or later, and the one of {cargo} is {given}: install a wheel "
    "(pip install --only-binary=:all: nomyo), or a newer Rust (https://rustup.rs)"
)
_WITHOUT_COMPILER = (
    "To be built from source, nomyo needs a C compiler, and there is no cc in PATH: install a wheel "
    "(pip install --only-binary=:all: nomyo), or a compiler (Debian: apt-get install gcc libc6-dev), or name the one "
    "that is there in the variable CC"
)
_WITHOUT_CRATES = (
    "To be built from source, nomyo needs the crates that its Cargo.lock names, and cargo could not get them: install "
    "a wheel (pip install --only-binary=:all: nomyo), or connect this machine to crates.io, or name a mirror or a "
    "folder made by `cargo vendor` in ~/.cargo/config.toml (source replacement). Cargo says: {reason}"
)


def get_requires_for_build_wheel(*arguments: Any, **options: Any) -> list[str]:
    """Return what a build needs.

    Raises:
        SystemExit: This Python is not served; or there is no Rust, which maturin would load: hundreds of MB.
    """
    _refuse_other_python()
    return get_requires_for_build_sdist(*arguments, **options)


def get_requires_for_build_sdist(*arguments: Any, **options: Any) -> list[str]:
    """Return what the source distribution needs, which any Python can make. Raises SystemExit if there is no Rust."""
    _cargo()
    return list(maturin.get_requires_for_build_wheel(*arguments, **options))


get_requires_for_build_editable = get_requires_for_build_wheel


def prepare_metadata_for_build_wheel(*arguments: Any, **options: Any) -> str:
    """Write the metadata of the wheel."""
    _get_crates()
    return str(maturin.prepare_metadata_for_build_wheel(*arguments, **options))


def prepare_metadata_for_build_editable(*arguments: Any, **options: Any) -> str:
    """Write the metadata of the editable wheel."""
    _get_crates()
    return str(maturin.prepare_metadata_for_build_editable(*arguments, **options))


def build_wheel(*arguments: Any, **options: Any) -> str:
    """Compile the wheel."""
    _get_crates()
    return str(maturin.build_wheel(*arguments, **options))


def build_editable(*arguments: Any, **options: Any) -> str:
    """Compile the core, and write a wheel that leads to this folder."""
    _get_crates()
    return str(maturin.build_editable(*arguments, **options))


def _get_crates() -> None:
    """Load the crates, if they are not there yet. Raises SystemExit if that fails, or something else is missing."""
    _refuse_other_python()
    cargo = _cargo()
    _refuse_old(cargo)
    _refuse_without_compiler()
    command = [cargo, "fetch", "--locked", "--quiet"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=_ROOT)
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise SystemExit(_WITHOUT_CRATES.format(reason=lines[-1] if lines else f"exit code {done.returncode}"))


def _refuse_other_python() -> None:
    version = "{}.{}".format(*sys.version_info)
    if sys.implementation.name != "cpython":
        given, instead = platform.python_implementation(), "CPython"
    elif sysconfig.get_config_var("Py_GIL_DISABLED"):
        given, instead = f"a free-threaded build of {version}", f"python{version}"
    else:
        return
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = project["requires-python"].removeprefix(">=")
    raise SystemExit(_NOT_SERVED.format(needed=needed, given=given, instead=instead))


def _cargo() -> str:
    if cargo := shutil.which("cargo"):
        return cargo
    raise SystemExit(_WITHOUT_RUST.format(needed=_needed_rust()))


def _needed_rust() -> str:
    manifest = tomllib.loads((_ROOT / "Cargo.toml").read_text("utf-8"))
    return str(manifest["workspace"]["package"]["rust-version"])


def _refuse_old(cargo: str) -> None:
    """Refuse a Rust whose cargo may not even read Cargo.lock; it would be taken for one without a network."""
    needed = _needed_rust()
    said = subprocess.run([cargo, "--version"], check=False, capture_output=True, text=True, cwd=_ROOT).stdout
    given = re.match(r"cargo (\d+)\.(\d+)\S*", said)
    if given and (int(given[1]), int(given[2])) < tuple(map(int, needed.split(".")[:2])):
        raise SystemExit(_TOO_OLD.format(needed=needed, cargo=cargo, given=given[0].removeprefix("cargo ")))


def _refuse_without_compiler() -> None:
    """Refuse a system without cc. Windows has compilers elsewhere; variables (CC, CC_..., HOST_CC) may name another."""
    named = any(name.partition("_")[0] == "CC" or name.endswith("_CC") for name in os.environ)
    if os.name == "posix" and not named and not shutil.which("cc"):
        raise SystemExit(_WITHOUT_COMPILER)
