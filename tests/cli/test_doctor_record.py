"""Installed files against RECORD, and cached byte code against its source."""

from __future__ import annotations

import importlib.util
import marshal
import os
import py_compile
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

from nomyo.cli.doctor import bytecode, record
from nomyo.cli.doctor.record import Extra, Files
from support.installed_copy import RECORD, install


@pytest.fixture
def site(tmp_path: Path) -> Path:
    site = tmp_path / "site-packages"
    for name in ("nomyo/__init__.py", "nomyo/errors.py", "nomyo/_core.abi3.so", "nomyo/page/index.html"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(f"# {name}\n")
    return site


@pytest.fixture
def installed(site: Path) -> PathDistribution:
    return install(site)


def compared(installed: PathDistribution) -> Files:
    return record.compare(installed, package="nomyo")


def test_what_was_installed_matches(site: Path, installed: PathDistribution) -> None:
    (site / "nomyo/__pycache__").mkdir()
    (site / "nomyo/__pycache__/errors.cpython-311.pyc").write_bytes(b"")
    found = compared(installed)
    assert (found.listed, found.matching, found.differ) == (6, 6, False)
    assert found == Files(str(site), 6, 6)


def test_altered_missing_and_unreadable_files_are_told_apart(site: Path, installed: PathDistribution) -> None:
    (site / "nomyo/errors.py").write_text("# nomyo/Errors.py\n")
    (site / "nomyo/page/index.html").unlink()
    (site / "nomyo/__init__.py").unlink()
    (site / "nomyo/__init__.py").symlink_to("__init__.py")  # a loop, which nobody can open
    (site / "nomyo/_core.abi3.so").unlink()
    os.mkfifo(site / "nomyo/_core.abi3.so")  # which would be waited for
    found = compared(installed)
    assert found.altered == ["nomyo/_core.abi3.so", "nomyo/errors.py"]
    assert found.missing == ["nomyo/page/index.html"]
    assert found.unreadable == ["nomyo/__init__.py"]
    assert (found.matching, found.differ) == (2, True)


@pytest.mark.parametrize(
    ("name", "in_place_of"),
    [
        ("nomyo/errors/__init__.py", "nomyo/errors.py"),
        (f"nomyo/_core{EXTENSION_SUFFIXES[0]}", "nomyo/_core.abi3.so"),
        ("nomyo/errors.pyc", "nomyo/errors.py"),
        ("nomyo/more.py", None),
        ("nomyo/page/index.html~", None),
    ],
)
def test_file_that_is_not_listed_is_named(
    site: Path, installed: PathDistribution, name: str, in_place_of: str | None
) -> None:
    (site / name).parent.mkdir(exist_ok=True)
    (site / name).write_text("")
    found = compared(installed)
    assert found.extra == [Extra(name, in_place_of)]
    assert found.differ


def test_editable_installation_lists_nothing_of_the_package(site: Path, installed: PathDistribution) -> None:
    (site / "nomyo/more.py").write_text("")
    assert record.compare(installed, package=None).extra == []


def test_record_without_hashes_tells_presence_alone(site: Path, installed: PathDistribution) -> None:
    lines = (site / RECORD).read_text().splitlines()
    names = [line.split(",")[0] for line in lines]
    (site / RECORD).write_text("\n".join([f"{names[0]},md5=AAAA,3", *(f"{name},," for name in names[1:])]))
    (site / "nomyo/errors.py").unlink()
    found = compared(installed)
    assert (found.matching, len(found.without_hash), found.missing) == (0, 5, ["nomyo/errors.py"])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "missing or cannot be read"),
        (b"", "it is empty"),
        (b"\xff\xfe\x00", "utf-8"),
        (b'nomyo/errors.py,"', "it is not CSV"),
        (b"nomyo/errors.py\n", "line 1 is not a path, a hash and a size"),
        (b"a,,\n,,\n", "line 2 is not a path, a hash and a size"),
        (b"a\0b,,\n", "line"),
    ],
)
def test_record_that_cannot_be_used_is_said(
    site: Path, installed: PathDistribution, content: bytes | None, reason: str
) -> None:
    (site / RECORD).unlink()
    if content is not None:
        (site / RECORD).write_bytes(content)
    found = compared(installed)
    assert reason in (found.record_failure or "")
    assert found.differ


@pytest.fixture
def source(site: Path) -> Path:
    """Return a module whose byte code is cached."""
    source = site / "nomyo/errors.py"
    source.write_text("def refused(): return 'refused'\n")
    py_compile.compile(str(source), doraise=True)
    return source


def cache_of(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source)))


def other_code(header: bytes) -> bytes:
    return header + marshal.dumps(compile("def refused(): return 'allowed'\n", "errors.py", "exec"))


def test_byte_code_of_its_source_passes(site: Path, source: Path) -> None:
    assert list(bytecode.altered(site)) == []


def test_byte_code_of_something_else_is_found(site: Path, source: Path) -> None:
    header = cache_of(source).read_bytes()[:16]
    cache_of(source).write_bytes(other_code(header))
    assert list(bytecode.altered(site)) == [cache_of(source)]
    cache_of(source).write_bytes(header + b"\xe3")
    assert list(bytecode.altered(site)) == [cache_of(source)]


def test_byte_code_that_python_takes_without_looking_at_the_source_is_found(site: Path, source: Path) -> None:
    unchecked = (1).to_bytes(4, "little")
    cache_of(source).write_bytes(other_code(importlib.util.MAGIC_NUMBER + unchecked + bytes(8)))
    assert list(bytecode.altered(site)) == [cache_of(source)]


def test_byte_code_that_python_does_not_take_is_left_alone(site: Path, source: Path) -> None:
    header = cache_of(source).read_bytes()[:16]
    cache_of(source).write_bytes(other_code(header[:8] + bytes(8)))  # of another time
    assert list(bytecode.altered(site)) == []
    cache_of(source).write_bytes(other_code(bytes(4) + header[4:]))  # of another Python
    assert list(bytecode.altered(site)) == []
    cache_of(source).write_bytes(other_code(header[:4] + (3).to_bytes(4, "little") + bytes(8)))  # of another source
    assert list(bytecode.altered(site)) == []
