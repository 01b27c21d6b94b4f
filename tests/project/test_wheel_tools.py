"""What `make wheels` takes out of a wheel, so that it has the same bytes wherever it is built; nothing is compiled."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import zipfile
from pathlib import Path

import pytest

from wheels import build, checks, rewrite, smoke, systems
from wheels.source import Source, source
from wheels.targets import TARGETS, Target

COMMIT, DATE = "0" * 40, 1_700_000_000
INFO = "nomyo-1.0.0.dist-info"


def _wheel(path: Path, folder: Path, hour: int) -> Path:
    """Write a wheel as maturin would in this folder at this hour."""
    listed = {
        "bomFormat": "CycloneDX",
        "serialNumber": f"urn:uuid:{hour}",
        "metadata": {"timestamp": f"2026-12-01T{hour:02}:00:00Z"},
        "components": [{"bom-ref": f"path+{folder.as_uri()}/rust/core#nomyo-core@1.0.0"}],
    }
    contents = {
        "nomyo/_core.abi3.so": "machine code",
        f"{INFO}/sboms/crates.json": json.dumps(listed),
        f"{INFO}/RECORD": f"nomyo/_core.abi3.so,sha256=wrong,{hour}\n",
    }
    with zipfile.ZipFile(path, "w") as opened:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, (2026, 12, 1, hour, 0, 0))
            entry.external_attr = (0o100600 + hour) << 16
            opened.writestr(entry, content)
    return path


def test_rewritten_wheels_are_the_same_bytes_wherever_they_were_built(tmp_path: Path) -> None:
    written = []
    for hour, folder in ((1, tmp_path / "one"), (2, tmp_path / "another" / "place")):
        wheel = _wheel(tmp_path / f"{hour}.whl", folder, hour)
        written.append(rewrite.rewrite(wheel, tmp_path / f"{hour}-new.whl", Source(folder, COMMIT, DATE)))

    assert written[0].read_bytes() == written[1].read_bytes()
    with zipfile.ZipFile(written[0]) as opened:
        contents = {name: opened.read(name) for name in opened.namelist()}
        dates = {entry.date_time for entry in opened.infolist()}
    assert dates == {(2023, 11, 14, 22, 13, 20)}
    assert str(tmp_path).encode() not in b"".join(contents.values())
    rows = [line.split(",") for line in contents.pop(f"{INFO}/RECORD").decode().splitlines()]
    assert rows[:-1] == [[name, _hash(content), str(len(content))] for name, content in contents.items()]
    assert rows[-1] == [f"{INFO}/RECORD", "", ""]


def test_changed_module_stands_in_the_wheel_with_its_own_hash(tmp_path: Path) -> None:
    wheel = _wheel(tmp_path / "old.whl", tmp_path, 1)

    written = rewrite.rewrite(wheel, tmp_path / "new.whl", Source(tmp_path, COMMIT, DATE), bytes.upper)

    with zipfile.ZipFile(written) as opened:
        assert opened.read("nomyo/_core.abi3.so") == b"MACHINE CODE"
        assert _hash(b"MACHINE CODE") in opened.read(f"{INFO}/RECORD").decode()


def _hash(content: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


@pytest.mark.outside("git")
def test_a_clone_is_told_apart_from_its_commit(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=n", "-c", "user.email=n@example.invalid"]
        env = {**os.environ, "GIT_COMMITTER_DATE": f"{DATE} +0000"}
        subprocess.run(["git", *identity, "-C", tmp_path, *arguments], check=True, env=env)

    (tmp_path / "file").write_text("one")
    git("init", "--quiet")
    git("add", "file")
    git("commit", "--quiet", "--message", "one")
    as_committed = source(tmp_path)
    (tmp_path / "file").write_text("two")

    assert (len(as_committed.commit), as_committed.date) == (40, DATE)
    assert source(tmp_path).commit == f"{as_committed.commit}-dirty"


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS)
def test_compilers_get_no_flags_of_the_environment_and_no_date_but_the_commits(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CFLAGS", "CFLAGS_x86_64_unknown_linux_gnu", "RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO"):
        monkeypatch.setenv(name, "of the developer")

    env = build._environment(Source(tmp_path, COMMIT, DATE), target, tmp_path / "cache", tmp_path / "library")

    assert "of the developer" not in env.values()
    assert (env["NOMYO_BUILD_COMMIT"], env["SOURCE_DATE_EPOCH"]) == (COMMIT, str(DATE))
    assert f"--remap-path-prefix={tmp_path}=/nomyo" in env["CARGO_ENCODED_RUSTFLAGS"].split("\x1f")
    assert ("-crt-static" in env["CARGO_ENCODED_RUSTFLAGS"]) == target.musl
    assert ("--no-as-needed" in env["CARGO_ENCODED_RUSTFLAGS"]) == target.musl


@pytest.mark.parametrize("target", [target for target in TARGETS.values() if target.arm or target.musl])
def test_machine_that_cannot_run_a_wheel_is_told_what_it_lacks(
    target: Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    told = smoke.smoke(tmp_path / "no.whl", target, tmp_path / "no.md", tmp_path)

    assert told.startswith("not run: that takes ")
    assert ("qemu-aarch64-static" in told) == target.arm
    assert ("apt-get, dpkg-deb, make, perl, readelf" in told) == target.musl


@pytest.mark.parametrize(
    ("name", "platforms"),
    [
        ("musllinux_1_2_x86_64", {"musllinux_1_1_x86_64", "musllinux_1_2_x86_64"}),
        ("manylinux_2_17_aarch64", {"manylinux2014_aarch64", "manylinux_2_36_aarch64"}),
    ],
)
def test_other_systems_get_wheels_for_their_own_c_library(name: str, platforms: set[str]) -> None:
    chosen = {option.removeprefix("--platform=") for option in systems.pip_options(TARGETS[name])[2:]}

    assert platforms <= chosen
    assert all(platform.endswith(TARGETS[name].machine) for platform in chosen)
    assert len({platform[:4] for platform in chosen}) == 1


@pytest.mark.parametrize("library", ["libc.so", "libc.musl.so", "libssl.so.3", "libffi.so.8"])
def test_wheels_may_not_need_libraries_that_a_machine_may_lack(library: str) -> None:
    assert not checks._LIBRARIES.fullmatch(library)
    assert checks._LIBRARIES.fullmatch("libc.musl-aarch64.so.1")
    assert checks._LIBRARIES.fullmatch("libgcc_s.so.1")
