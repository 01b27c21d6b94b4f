"""The build backend says what a build from source needs, if that is missing."""

from __future__ import annotations

import platform
import sys
import sysconfig
from pathlib import Path

import pytest

import source_build

NO_NETWORK = "echo 'error: failed to get `libc`' >&2; echo '  could not resolve host' >&2; exit 101"


@pytest.mark.parametrize("hook", [source_build.prepare_metadata_for_build_wheel, source_build.build_wheel])
def test_missing_crates_are_one_sentence_with_what_to_do(
    hook: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cargo = tmp_path / "cargo"
    cargo.write_text(f"#!/bin/sh\n{NO_NETWORK}\n")
    cargo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    assert callable(hook)
    with pytest.raises(SystemExit, match=r"install a wheel .* or connect this machine to crates\.io") as refused:
        hook(str(tmp_path))

    assert str(refused.value).endswith("Cargo says: could not resolve host")


def test_rust_that_is_too_old_is_told_with_the_version_that_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cargo = tmp_path / "cargo"
    cargo.write_text(
        f"#!/bin/sh\n[ $1 != --version ] || exec echo 'cargo 1.75.0 (1d8b05cdd 2023-11-20)'\n{NO_NETWORK}\n"
    )
    cargo.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    with pytest.raises(SystemExit, match=r"nomyo needs Rust 1\.\d+ or later, .* is 1\.75\.0: install a wheel"):
        source_build.build_wheel(str(tmp_path))


@pytest.mark.parametrize(
    "hook", [source_build.get_requires_for_build_wheel, source_build.get_requires_for_build_editable]
)
def test_missing_rust_is_told_before_anything_is_installed_for_the_build(
    hook: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    assert callable(hook)
    with pytest.raises(SystemExit, match=r"needs Rust 1\.\d+ or later, and there is no cargo .*: install a wheel"):
        hook()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has compilers that no name in PATH leads to")
def test_missing_c_compiler_is_told_before_anything_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cargo = tmp_path / "cargo"
    cargo.write_text(f"#!/bin/sh\n[ $1 != --version ] || exec echo 'cargo 1.99.0'\n{NO_NETWORK}\n")
    cargo.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)

    with pytest.raises(SystemExit, match=r"needs a C compiler, and there is no cc .*: install a wheel"):
        source_build.build_wheel(str(tmp_path))

    monkeypatch.setenv("CC", "another-compiler")  # whose name cargo knows how to use
    with pytest.raises(SystemExit, match="Cargo says"):
        source_build.build_wheel(str(tmp_path))


@pytest.mark.parametrize("hook", [source_build.get_requires_for_build_wheel, source_build.build_wheel])
def test_free_threaded_python_is_refused_before_anything_is_compiled(
    hook: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {**sysconfig.get_config_vars(), "Py_GIL_DISABLED": 1}
    monkeypatch.setattr(sysconfig, "get_config_var", variables.get)
    version = "{}.{}".format(*sys.version_info)

    assert callable(hook)
    with pytest.raises(SystemExit) as refused:
        hook(str(tmp_path))

    assert str(refused.value) == (
        "nomyo serves ordinary builds of CPython 3.11 and later, "
        f"and this is a free-threaded build of {version}: build it with python{version}"
    )


def test_other_implementation_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.implementation, "name", "pypy")
    monkeypatch.setattr(platform, "python_implementation", lambda: "PyPy")

    with pytest.raises(SystemExit, match=r"CPython 3\.11 and later, and this is PyPy: build it with CPython$"):
        source_build.get_requires_for_build_wheel()


def test_source_distribution_is_made_by_any_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(source_build.__file__).parents[1])
    monkeypatch.setattr(sys.implementation, "name", "pypy")

    assert isinstance(source_build.get_requires_for_build_sdist(), list)
