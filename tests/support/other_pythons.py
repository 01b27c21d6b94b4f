"""Tests the wheel under other versions of CPython: `make test-pythons`, by hand and before a release.

Each version gets a venv of its own below `.venv-pythons/`, with the wheel that lies in `dist/` and the locked packages.
There the tests of `SUBJECTS` run that are not marked `outside`. mypy and pyright read the examples of README and docs,
and the programs that hold the types to their word, as code for that version.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from support.readme_examples import STRICT, write_examples

ROOT = Path(__file__).parents[2]
VENVS = ROOT / ".venv-pythons"
NEWER = ("3.12", "3.13", "3.14")
"""The versions beside the one that all other tests run with."""
SUBJECTS = ("client", "protocol", "memory", "keys", "router", "cli", "batch")
PYRIGHT = ROOT / "tests" / "node" / "node_modules" / ".bin" / "pyright"
TYPED = [str(ROOT / "tests" / "support" / name) for name in ("misspelt_options.py", "typed_requests.py")]


def found_pythons() -> list[str]:
    """Return an interpreter for each of `NEWER` that this machine has: on the PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = []
    for version in NEWER:
        candidates = [f"python{version}", *map(str, sorted(pyenv.glob(f"{version}.*/bin/python{version}")))]
        running = [candidate for candidate in candidates if version_of(candidate) == version]
        print(f"CPython {version}: {running[0] if running else 'not found'}")
        found += running[:1]
    return found


def version_of(python: str) -> str | None:
    """Return the version of an interpreter, `3.12`; None if it does not run (so does a shim of pyenv)."""
    path = shutil.which(python)
    if path is None:
        return None
    program = "import sys; print('{}.{}'.format(*sys.version_info))"
    told = subprocess.run([path, "-I", "-S", "-c", program], capture_output=True, text=True, check=False)
    return told.stdout.strip() if told.returncode == 0 else None


def the_wheel() -> Path:
    """Return the wheel for this machine."""
    wheels = [
        path for path in (ROOT / "dist").glob(f"nomyo-*-abi3-*_{platform.machine()}.whl") if "musl" not in path.name
    ]
    assert len(wheels) == 1, f"dist/ must hold one wheel for this machine, not {len(wheels)}: `make wheel`"
    return wheels[0]


def make_venv(python: str, version: str) -> Path:
    """Make the venv anew, with the wheel and what its tests need; return its interpreter."""
    folder = VENVS / version
    own = folder / "bin" / "python"
    subprocess.run([python, "-m", "venv", "--clear", folder], check=True)
    install: list[str | Path] = [own, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "--upgrade", "pip>=25.1"], check=True)
    subprocess.run([*install, "--require-hashes", "--requirement", ROOT / "locks" / "dev.txt"], check=True)
    subprocess.run([*install, "--no-deps", the_wheel()], check=True)
    return own


def run_tests(python: Path) -> tuple[bool, str]:
    """Run the tests of the subjects; return whether all passed, and pytest's last line."""
    words = ["-m", "pytest", "-q", "-p", "no:benchmark", "-m", "not outside", *(f"tests/{name}" for name in SUBJECTS)]
    workers = ["-n", os.environ.get("TEST_WORKERS", "4"), "--dist", "worksteal"]
    ran = subprocess.run([python, *words, *workers], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if ran.returncode != 0:
        print(ran.stdout)
    return ran.returncode == 0, ran.stdout.rstrip().rpartition("\n")[2]


def run_checkers(python: Path, version: str) -> list[tuple[bool, str]]:
    """Have mypy and pyright read the examples as code for a version; return whether they accept it, and a line."""
    with tempfile.TemporaryDirectory() as directory:
        paths = [str(path) for path in write_examples(Path(directory))]
        mypy = [sys.executable, "-m", "mypy", *STRICT, "--scripts-are-modules"]
        target = ["--python-version", version, "--python-executable", str(python)]
        pyright = [str(PYRIGHT), "--pythonpath", str(python), "--pythonversion", version]
        return [_judged("mypy", [*mypy, *target, *paths]), _judged("pyright", [*pyright, *paths, *TYPED])]


def _judged(name: str, words: list[str]) -> tuple[bool, str]:
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        print(ran.stdout, ran.stderr)
    return ran.returncode == 0, f"{name}: {ran.stdout.rstrip().rpartition(chr(10))[2]}"


def main(pythons: list[str]) -> int:
    """Test the named interpreters, or those that are found; return 0 if all is well."""
    pythons = pythons or found_pythons()
    missing = [python for python in pythons if version_of(python) is None]
    if missing or not pythons:
        print(
            f"not found: {', '.join(missing) or 'any newer CPython'}; name some: make test-pythons PYTHONS=python3.13"
        )
        return 1
    outcomes = []
    for python in pythons:
        version = str(version_of(python))
        own = make_venv(python, version)
        lines = [run_tests(own), *run_checkers(own, version)]
        outcomes += [(passed, f"CPython {version}: {line}") for passed, line in lines]
    print("\n".join(line for _, line in outcomes))
    return 0 if all(passed for passed, _ in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
