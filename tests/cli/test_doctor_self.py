"""`nomyo doctor --self` tells whether this copy is what was installed, and what runs in its place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nomyo import cli
from nomyo.cli.doctor import self_report, shadows
from nomyo.cli.doctor.installation import Installation
from nomyo.cli.doctor.record import Extra, Files
from nomyo.cli.doctor.shadows import PthFile, Shadow
from support.installed_copy import RECORD, VERSION, copy_of_nomyo, install

STDLIB = sysconfig.get_path("stdlib")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with a copy of nomyo, as if it had been installed there."""
    site = tmp_path_factory.mktemp("site")
    copy_of_nomyo(site)
    return site


def doctor(*path: Path, words: tuple[str, ...] = ("--json",)) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-P", "-m", "nomyo", "doctor", "--self", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def facts(finished: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def test_copy_as_installed_is_sound(copy: Path) -> None:
    finished = doctor(copy)
    found = facts(finished)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert (found["is_sound"], found["kind"], found["installer"]) == (True, "installed", "pip")
    assert found["package"] == str(copy / "nomyo")
    assert found["files"]["matching"] == found["files"]["listed"] > 200
    assert found["others"], "the checkout is installed, too, and does not run"
    assert found["core_path"].startswith(str(copy))
    assert found["core"]["crypto"].startswith("AWS-LC")
    assert found["core"]["rustc"].startswith("rustc ")


@pytest.fixture
def altered(copy: Path) -> Iterator[Path]:
    file = copy / "nomyo/errors.py"
    before = file.read_bytes()
    file.write_bytes(before + b"# altered\n")
    yield copy
    file.write_bytes(before)


def test_altered_copy_fails(altered: Path) -> None:
    finished = doctor(altered, words=())
    assert finished.returncode == 1
    assert "ALTERED nomyo/errors.py" in finished.stdout
    assert "This copy is not what was installed." in finished.stdout


def test_copy_that_nobody_installed_runs_in_the_place_of_the_installed_one(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy / "nomyo", tmp_path / "nomyo", copy_function=os.link)
    finished = doctor(tmp_path, copy)
    found = facts(finished)
    assert finished.returncode == 1
    assert (found["kind"], found["files"], found["version"]) == ("source", None, None)
    assert {
        "module": "nomyo",
        "path": str(tmp_path / "nomyo"),
        "hides": str(copy / "nomyo"),
        "is_loaded": True,
    } in found["shadows"]


def test_module_in_the_place_of_one_of_python_is_named(copy: Path, tmp_path: Path) -> None:
    own = f"{STDLIB}/csv.py"
    (tmp_path / "csv.py").write_text(f"exec(compile(open({own!r}).read(), {own!r}, 'exec'))\n")
    (tmp_path / "wave.py").write_text("raise SystemExit('nobody imports this')\n")
    (tmp_path / "test").mkdir()
    (tmp_path / "test/__init__.py").write_text("")
    finished = doctor(tmp_path, copy, words=())
    assert finished.returncode == 1
    assert f"shadows        {tmp_path}/csv.py RUNS in the place of {own}\n" in finished.stdout
    assert f"{tmp_path}/wave.py would be imported in the place of {STDLIB}/wave.py\n" in finished.stdout
    assert str(tmp_path / "test") not in finished.stdout


def test_only_what_stands_before_another_module_hides_it(tmp_path: Path) -> None:
    package = tmp_path / "site/nomyo"
    for name in ("site/nomyo", "first/nomyo", "first/json", "last/nomyo"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("site/nomyo/__init__.py", "last/nomyo/__init__.py", "last/secrets.py", "site/queue.py"):
        (tmp_path / name).write_text("")
    path = [str(tmp_path / "first"), STDLIB, str(tmp_path / "site"), str(tmp_path / "last"), str(tmp_path / "none")]
    assert shadows.shadows(package, path) == []
    (tmp_path / "first/nomyo.py").write_text("")
    (tmp_path / "first/secrets.py").write_text("")
    (tmp_path / "first/sys.py").write_text("")  # built in, so never looked for
    assert shadows.shadows(package, path) == [
        Shadow("nomyo", str(tmp_path / "first/nomyo.py"), str(package), False),
        Shadow("secrets", str(tmp_path / "first/secrets.py"), f"{STDLIB}/secrets.py", False),
    ]


def test_pth_file_that_no_package_lists_is_named(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "listed.pth").write_text("/srv\n")
    install(tmp_path, version="0.2.9")
    (tmp_path / "stray.pth").write_bytes(b"\xef\xbb\xbfimport os; os.getcwd()\n# a remark\n\n/opt/more\n")
    (tmp_path / "bad.pth").symlink_to("bad.pth")
    monkeypatch.syspath_prepend(tmp_path)
    assert shadows.stray_pth_files([tmp_path, tmp_path / "none"]) == [
        PthFile(str(tmp_path / "bad.pth"), False, ()),
        PthFile(str(tmp_path / "stray.pth"), True, ("/opt/more",)),
    ]


def test_installation_of_the_version_that_runs_counts(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "site", copy_function=os.link)
    (tmp_path / "site" / "nomyo-0.2.9.dist-info").mkdir()
    (tmp_path / "site" / "nomyo-0.2.9.dist-info/METADATA").write_text("Name: nomyo\nVersion: 0.2.9\n")
    found = facts(doctor(tmp_path / "site"))
    assert (found["is_sound"], found["version"]) == (True, VERSION)
    assert str(tmp_path / "site/nomyo") in found["others"]


def test_two_equal_installations_are_told_apart(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "other", copy_function=os.link)
    found = facts(doctor(copy, tmp_path / "other"))
    assert (found["is_sound"], found["kind"], found["package"]) == (True, "installed", str(copy / "nomyo"))
    assert str(tmp_path / "other/nomyo") in found["others"]


def test_record_that_is_no_text_is_told_in_words(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "site")
    (tmp_path / "site" / RECORD).write_bytes(b"\xff\xfe")
    finished = doctor(tmp_path / "site", words=())
    assert (finished.returncode, finished.stderr) == (1, "")
    assert "NOT COMPARED, RECORD cannot be used: " in finished.stdout
    assert "The files of this copy could not be compared" in finished.stdout


def test_record_without_hashes_proves_nothing(copy: Path, tmp_path: Path) -> None:
    shutil.copytree(copy, tmp_path / "site")
    record = tmp_path / "site" / RECORD
    record.write_text("".join(f"{line.split(',')[0]},,\n" for line in record.read_text().splitlines()))
    finished = doctor(tmp_path / "site", words=())
    assert finished.returncode == 0
    assert "as it was installed" not in finished.stdout


def test_script_that_an_installer_put_elsewhere_is_no_damage(copy: Path, tmp_path: Path) -> None:
    # `pip install --target` lists ../../bin/nomyo, and writes bin/nomyo.
    shutil.copytree(copy, tmp_path / "site")
    with (tmp_path / "site" / RECORD).open("a") as record:
        record.write("../../bin/nomyo,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n")
    found = facts(doctor(tmp_path / "site"))
    assert (found["is_sound"], found["files"]["elsewhere"]) == (True, ["../../bin/nomyo"])
    assert found["files"]["missing"] == []


def test_editable_installation_is_told_as_such(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["doctor", "--self"])
    assert "an editable installation" in capsys.readouterr().out


CORE: dict[str, Any] = {
    "version": "1.0.0",
    "commit": "c0ffee",
    "dirty": True,
    "built_at": 1_700_000_000,
    "rustc": "rustc 1.95.0",
    "target": "x86_64-unknown-linux-gnu",
    "profile": "release",
    "opt_level": "3",
    "debug": False,
    "flags": "-Ctarget-cpu=native",
    "crypto": "AWS-LC 1.2.3",
}
SOUND = Installation(
    "installed", "/s/nomyo", "pip", None, "1.0.0", (), Files("/s", 9, 9), (), (), (), {}, CORE, "/c.so"
)


@pytest.mark.parametrize(
    ("changes", "line", "is_sound"),
    [
        ({}, "files          9 of 9 files in RECORD are as installed", True),
        ({}, "core           1.0.0, AWS-LC 1.2.3, for x86_64-unknown-linux-gnu", True),
        ({}, "               commit c0ffee, with changed files, source of 2023-11-14 22:13 UTC", True),
        ({"core": {**CORE, "commit": None, "dirty": None, "built_at": None}}, "               commit unknown (a", True),
        ({}, "               rustc 1.95.0, profile release, optimisation 3, flags -Ctarget-cpu=native", True),
        ({"core": {**CORE, "debug": True, "flags": ""}}, "               rustc 1.95.0, profile release, optim", True),
        ({"kind": "source", "files": None}, "               source that nothing installed", True),
        ({"origin": "file:///n.whl"}, "               installed by pip from file:///n.whl", True),
        ({"files": Files("/s", 1, 0, ["a.py"])}, "               1 file without a hash in RECORD: only", True),
        ({"files": Files("/s", 1, 0, [], ["a.py"])}, "               ALTERED a.py", False),
        ({"files": Files("/s", 1, 0, [], [], ["a.py"])}, "               MISSING a.py", False),
        ({"files": Files("/s", 1, 0, [], [], [], ["a.py"])}, "               UNREADABLE a.py", False),
        ({"files": Files("/s", 1, elsewhere=["../a"])}, "               not where RECORD says: ../a", True),
        (
            {"files": Files("/s", extra=[Extra("a.so", "a.py")])},
            "               NOT IN RECORD a.so, which is imported in the place of a.py",
            False,
        ),
        ({"files": Files("/s", record_failure="it is empty")}, "files          NOT COMPARED, RECORD cannot be", False),
        ({"altered_bytecode": ("/s/a.pyc",)}, "byte code      ALTERED /s/a.pyc is not what its source says", False),
        (
            {"shadows": (Shadow("sys", "/sys.py", None, False),)},
            "shadows        /sys.py would be imported in",
            True,
        ),
        ({"shadows": (Shadow("sys", "/sys.py", None, True),)}, "shadows        /sys.py RUNS in the place of P", False),
        (
            {"stray_pth_files": (PthFile("/s/a.pth", True, ("/opt",)),)},
            ".pth files     /s/a.pth, which no package lists, runs code at each start of Python and adds /opt",
            True,
        ),
        ({"start_modules": {"sitecustomize": "/s/sitecustomize.py"}}, "at start       /s/sitecustomize.py runs", True),
    ],
)
def test_each_finding_has_its_line(changes: dict[str, Any], line: str, is_sound: bool) -> None:
    found = replace(SOUND, **changes)
    assert any(said.startswith(line) for said in self_report.lines(found)), [*self_report.lines(found)]
    assert found.is_sound is is_sound


@pytest.mark.parametrize("words", [["--self", "--self"], ["--selff"], ["--self", "--json", "--json"], ["self"]])
def test_other_arguments_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["doctor", *words]) == 2
    assert "Usage: nomyo doctor [--self] [--json]" in capsys.readouterr().err
