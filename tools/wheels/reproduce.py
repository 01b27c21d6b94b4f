"""`python -m wheels.reproduce`: builds wheels twice, under circumstances that must not matter, and compares them.

The second build has another folder, other folders for what Cargo loads and what the compilers write, another umask and
another time zone. It is a whole build, so the crates are loaded and compiled anew.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from wheels.targets import TARGETS

ROOT = Path(__file__).parents[2]


def main() -> None:
    """Build each wheel twice. Exits with 1 if two differ, and says in what."""
    parser = argparse.ArgumentParser(prog="python -m wheels.reproduce", description="Build wheels twice and compare.")
    parser.add_argument("targets", nargs="*", default=["manylinux_2_17_x86_64"], help=f"of: {', '.join(TARGETS)}")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nomyo-") as name:
        folder = Path(name)
        first = _build(folder / "one", given.targets, umask=0o022, zone="UTC", cargo=None)
        second = _build(
            folder / "another" / "place", given.targets, umask=0o077, zone="Asia/Tokyo", cargo=folder / "cargo"
        )
        pairs = list(zip(first, second, strict=True))
        differing = [pair for pair in pairs if pair[0].read_bytes() != pair[1].read_bytes()]
        for one, _ in pairs:
            print(f"{hashlib.sha256(one.read_bytes()).hexdigest()}  {one.name}")
        for one, other in differing:
            print(f"{one.name} is not the same twice: {', '.join(_differences(one, other)) or 'its frame'}")
            _explain(one, other)
    if differing:
        sys.exit(1)
    print("each was built twice, with the same bytes")


def _build(folder: Path, targets: list[str], *, umask: int, zone: str, cargo: Path | None) -> list[Path]:
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder / "nomyo")], check=True, umask=umask)
    env = {**os.environ, "TZ": zone}
    if cargo:
        env["CARGO_HOME"] = str(cargo)
    options = ["--build-only", "--source", str(folder / "nomyo"), "--out", str(folder / "out")]
    subprocess.run([sys.executable, "-m", "wheels", *options, *targets], check=True, env=env, umask=umask)
    return sorted((folder / "out").glob("*.whl"))


def _differences(one: Path, other: Path) -> list[str]:
    with zipfile.ZipFile(one) as left, zipfile.ZipFile(other) as right:
        names = sorted({*left.namelist(), *right.namelist()})
        both = set(left.namelist()) & set(right.namelist())
        return [name for name in names if name not in both or left.read(name) != right.read(name)]


def _explain(one: Path, other: Path) -> None:
    if shutil.which("diffoscope"):
        subprocess.run(["diffoscope", "--max-report-size", "20000", str(one), str(other)], check=False)
    else:
        print("install diffoscope to see in what")


if __name__ == "__main__":
    main()
