"""Installs a wheel where there is no Rust, and runs README's first example against a router of the same wheel."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from wheels.targets import Target

_PROGRAM = Path(__file__).with_name("example_run.py")
_EMULATION = ("debootstrap", "qemu-aarch64-static")
_DEBIAN = "bookworm"
# What Debian's Python 3.11 for ARM needs beside the system itself.
_PACKAGES = "python3.11-minimal,libpython3.11-stdlib"


def smoke(wheel: Path, target: Target, readme: Path, cache: Path) -> str:
    """Install a wheel and run the example; return what it printed, or why it could not run.

    Wheels for glibc run: on x86-64 in a fresh environment, on ARM in an emulator with Debian's Python. No registry here
    has a Python for musl.

    Args:
        wheel: the wheel.
        target: the machine that it is for.
        readme: the page whose first Python example is run.
        cache: the folder in which the emulated system is kept.

    Raises:
        subprocess.CalledProcessError: It could not be installed, or the example failed; the program has said why.
    """
    if target.musl:
        return "not run: there is no Python for musl here"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = {"PATH": "/usr/bin:/bin", "HOME": name}
        if target.triple.startswith("aarch64"):
            if os.geteuid() or not all(map(shutil.which, _EMULATION)):
                return "not run: that takes root, and Debian's packages debootstrap and qemu-user-static"
            root = _arm_system(cache / "arm64")
            _pip([sys.executable], wheel, "--target", str(folder / "site"), *_arm_wheels())
            python = ["qemu-aarch64-static", "-L", str(root), str(root / "usr" / "bin" / "python3.11")]
            return _run(folder, readme, python, {**bare, "PYTHONPATH": str(folder / "site")})
        venv.create(folder / "venv", with_pip=True)
        python = [str(folder / "venv" / "bin" / "python")]
        _pip(python, wheel)
        return _run(folder, readme, python, bare)


def _pip(python: list[str], wheel: Path, *options: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [*python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", *options, f"{wheel}[serve]"]
    subprocess.run(command, check=True, env=env)


def _arm_wheels() -> list[str]:
    """Return pip's options that choose wheels for the emulated Python, not for the one that runs pip."""
    platforms = (f"manylinux_2_{minor}_aarch64" for minor in range(17, 37))
    return [
        "--python-version",
        "3.11",
        *(f"--platform={platform}" for platform in (*platforms, "manylinux2014_aarch64")),
    ]


def _arm_system(root: Path) -> Path:
    """Unpack Debian's packages for ARM, without the scripts that would set up a system; return the folder."""
    if not (root / "usr" / "bin" / "python3.11").exists():
        options = ["--foreign", "--arch=arm64", "--variant=minbase", f"--include={_PACKAGES}"]
        subprocess.run(["debootstrap", *options, _DEBIAN, root], check=True, stdout=subprocess.DEVNULL)
        for package in sorted((root / "var" / "cache" / "apt" / "archives").glob("*.deb")):
            subprocess.run(["dpkg-deb", "--extract", package, root], check=True)
    return root


def _run(folder: Path, readme: Path, python: list[str], env: dict[str, str]) -> str:
    example = folder / "example.py"
    found = re.search(r"```python\n(.*?)```", readme.read_text(), re.DOTALL)
    assert found, f"no example in {readme}"
    example.write_text(found[1])
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    command = [*python, str(_PROGRAM), str(example), str(certificate), str(key), *python]
    done = subprocess.run(command, check=True, env=env, cwd=folder, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()
