"""What `make setup`, `make test` and `make demo` check first, and say in words where it is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = next(folder for folder in Path(__file__).parents if (folder / "Makefile").exists())
VERSION = "{}.{}".format(*sys.version_info)
PYTHON = f'exec {sys.executable} "$@"'
CARGO = "echo 'cargo 1.100.0 (0000000 2026-01-01)'"
COMPILER = "exit 0"


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A PATH with what is needed alone, not even sed; a test takes programs away or puts others in their place."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, program in {"python3": PYTHON, "cargo": CARGO, "cc": COMPILER}.items():
        put(folder / name, program)
    return folder


@pytest.fixture
def check(programs: Path, tmp_path: Path) -> Callable[[], str]:
    """Run the check; return what it says to stderr, which is nothing where it finds all."""

    def run() -> str:
        words = [str(REPOSITORY / "tools" / "prerequisites.sh"), "python3", str(tmp_path / "venv")]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=60, check=False, cwd=REPOSITORY, env={"PATH": str(programs)}
        )
        assert done.stdout == ""
        assert (done.returncode == 0) is (done.stderr == "")
        return done.stderr

    return run


def put(path: Path, program: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{program}\n")
    path.chmod(0o755)


def make_venv(folder: Path, version: str, program: str = PYTHON) -> None:
    """Make what the check reads of a virtual environment: the version in its file, and its Python."""
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion = {version}.1\n")
    put(folder / "bin" / "python", program)


def test_machine_that_has_everything_passes(check: Callable[[], str]) -> None:
    assert check() == ""


def test_venv_of_the_same_python_passes(check: Callable[[], str], tmp_path: Path) -> None:
    make_venv(tmp_path / "venv", VERSION)
    assert check() == ""


@pytest.mark.parametrize(
    ("name", "program", "said"),
    [
        pytest.param("python3", None, "Python 3.11 or later is missing: there is no `python3`", id="no Python"),
        pytest.param("python3", "exit 1", "`python3` does not run", id="broken Python"),
        pytest.param(
            "python3", "echo 3.9", "`python3` is Python 3.9, and Python 3.11 or later is needed", id="old Python"
        ),
        pytest.param("python3", "echo 2.7", "`python3` is Python 2.7", id="Python 2"),
        pytest.param(
            "python3", 'case "$*" in *ensurepip*) exit 1;; esac; echo 3.12', "python3-venv", id="Python without venv"
        ),
        pytest.param("cargo", None, "Rust 1.89 or later is missing: there is no `cargo`", id="no Rust"),
        pytest.param("cargo", "exit 1", "`cargo` does not run", id="broken Rust"),
        pytest.param(
            "cargo", "echo 'cargo 1.88.0 (0 2025-06-01)'", "`cargo` is of Rust 1.88.0, and Rust 1.89", id="old Rust"
        ),
        pytest.param("cc", None, "A C compiler is missing: there is no `cc`", id="no C compiler"),
        pytest.param("cc", "exit 1", "`cc` compiles no C program", id="no C headers"),
    ],
)
def test_what_is_missing_is_told_in_words(
    check: Callable[[], str], programs: Path, name: str, program: str | None, said: str
) -> None:
    (programs / name).unlink()
    if program is not None:
        put(programs / name, program)

    assert said in check()


def test_everything_that_is_missing_is_told_at_once(check: Callable[[], str], programs: Path) -> None:
    for name in ("python3", "cargo", "cc"):
        (programs / name).unlink()

    said = check()

    assert all(word in said for word in ("Python 3.11", "Rust 1.89", "C compiler")), said
    assert "not found" not in said


@pytest.mark.parametrize(
    ("version", "program"),
    [
        pytest.param("3.9", "echo 3.9", id="an older Python"),
        pytest.param("3.9", PYTHON, id="a Python that was upgraded in place"),
        pytest.param(VERSION, "exit 127", id="a Python that is gone"),
    ],
)
def test_venv_of_another_python_is_refused(
    check: Callable[[], str], tmp_path: Path, version: str, program: str
) -> None:
    make_venv(tmp_path / "venv", version, program)

    said = check()

    assert f"was made by another Python ({version}" in said
    assert f"`python3` is Python {VERSION}" in said
    assert "rm -rf" in said


@pytest.mark.parametrize(
    ("program", "said"),
    [
        pytest.param(None, "Go 1.24 or later is missing, which compiles actionlint", id="no Go"),
        pytest.param(
            'case "$1" in env) echo go1.19.8;; *) exit 1;; esac', "Go 1.24 or later (this is go1.19.8)", id="old Go"
        ),
    ],
)
def test_linter_of_workflows_says_which_go_it_needs(tmp_path: Path, program: str | None, said: str) -> None:
    made = tmp_path / "actionlint"
    if program is not None:
        put(tmp_path / "go", program)
    done = subprocess.run(
        [str(shutil.which("make")), "--no-print-directory", str(made), f"ACTIONLINT={made}"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=REPOSITORY,
        env={"PATH": str(tmp_path)},
    )

    assert done.returncode != 0
    assert said in done.stderr
    assert not made.exists()


@pytest.mark.parametrize("target", ["setup", "test", "test-all", "demo"])
def test_target_begins_with_the_check(target: str) -> None:
    began = time.monotonic()
    done = subprocess.run(
        ["make", "--no-print-directory", target, "PYTHON=no-such-python"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=REPOSITORY,
    )

    assert done.returncode != 0
    assert done.stdout == "", "something was done before the check"
    assert done.stderr.startswith("Python 3.11 or later is missing: there is no `no-such-python`.")
    assert time.monotonic() - began < 10
