"""Installs a wheel where there is no Rust, and runs README's first example against a router of the same wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from wheels import systems
from wheels.targets import Target

_PROGRAM = Path(__file__).with_name("example_run.py")


def smoke(wheel: Path, target: Target, readme: Path, cache: Path) -> str:
    """Install a wheel and run the example; return what it printed, or why it could not run.

    On x86-64 with glibc that is a fresh environment; for the other wheels, a system whose programs start here.

    Args:
        wheel: the wheel.
        target: the machine that it is for.
        readme: the page whose first Python example is run.
        cache: the folder in which other systems are kept.

    Raises:
        subprocess.CalledProcessError: It could not be installed, or the example failed; the program has said why.
    """
    if lacks := systems.missing(target):
        return f"not run: that takes {lacks}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bare = {"PATH": "/usr/bin:/bin", "HOME": name}
        if target.arm or target.musl:
            python = systems.other_python(target, cache)
            _pip([sys.executable], wheel, "--target", str(folder / "site"), *systems.pip_options(target))
            return _run(folder, readme, python, {**bare, "PYTHONPATH": str(folder / "site")})
        venv.create(folder / "venv", with_pip=True)
        python = [str(folder / "venv" / "bin" / "python")]
        _pip(python, wheel)
        return _run(folder, readme, python, bare)


def _pip(python: list[str], wheel: Path, *options: str) -> None:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [*python, "-m", "pip", "install", "--quiet", "--only-binary=:all:", *options, f"{wheel}[serve]"]
    subprocess.run(command, check=True, env=env)


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
