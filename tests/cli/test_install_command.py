"""A missing extra is named with the command that installs it, right for the way in which this copy was installed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nomyo._install_command import install_command, quoted

Install = Callable[..., None]


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give this process an environment of its own, which is active: its `pip` is the first on the path."""
    programs = tmp_path / "environment" / "bin"
    programs.mkdir(parents=True)
    for name in ("pip", "python"):
        (programs / name).write_text("")
        (programs / name).chmod(0o755)
    monkeypatch.setattr(sys, "prefix", str(programs.parent))
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    monkeypatch.setenv("PATH", str(programs))
    return programs.parent


@pytest.fixture
def install(environment: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Write what an installer writes of the package."""
    monkeypatch.syspath_prepend(environment / "site")

    def write(origin: str | dict[str, Any] | None = None, installer: str | None = "pip\n") -> None:
        record = environment / "site" / "nomyo-1.2.3.dist-info"
        record.mkdir(parents=True)
        (record / "METADATA").write_text("Metadata-Version: 2.4\nName: nomyo\nVersion: 1.2.3\n")
        if origin is not None:
            (record / "direct_url.json").write_text(origin if isinstance(origin, str) else json.dumps(origin))
        if installer is not None:
            (record / "INSTALLER").write_text(installer)

    return write


def test_copy_from_an_index_is_installed_by_name(install: Install) -> None:
    install()
    assert install_command("serve") == "pip install 'nomyo[serve]'"


def test_copy_from_a_file_is_installed_from_it(install: Install, tmp_path: Path) -> None:
    wheel = tmp_path / "my wheels" / "nomyo-1.2.3-cp311-abi3-any.whl"
    wheel.parent.mkdir()
    wheel.write_bytes(b"")
    install({"url": wheel.as_uri(), "archive_info": {}})
    assert install_command("serve") == f"pip install '{wheel}[serve]'"


def test_copy_from_a_file_that_is_gone_is_installed_by_its_version(install: Install, tmp_path: Path) -> None:
    install({"url": (tmp_path / "nomyo-1.2.3-cp311-abi3-any.whl").as_uri(), "archive_info": {}})
    assert install_command("serve") == "pip install 'nomyo[serve]==1.2.3'"


@pytest.mark.parametrize(("information", "option"), [({"editable": True}, " --editable"), ({}, "")])
def test_copy_from_a_checkout_is_installed_from_it(
    install: Install, tmp_path: Path, information: dict[str, bool], option: str
) -> None:
    install({"url": tmp_path.as_uri(), "dir_info": information})
    assert install_command("all") == f"pip install{option} '{tmp_path}[all]'"


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (
            {"url": "https://example.org/n.git", "vcs_info": {"vcs": "git", "commit_id": "c0ffee"}},
            "nomyo[cli] @ git+https://example.org/n.git@c0ffee",
        ),
        (
            {"url": "https://example.org/mono.tgz", "archive_info": {}, "subdirectory": "nomyo"},
            "nomyo[cli] @ https://example.org/mono.tgz#subdirectory=nomyo",
        ),
        ({"url": "https://user:canary@example.org/nomyo.whl", "archive_info": {}}, "nomyo[cli]==1.2.3"),
        ({"url": "https://example.org/nomyo.whl?signature=canary", "archive_info": {}}, "nomyo[cli]==1.2.3"),
        ({"url": 5}, "nomyo[cli]==1.2.3"),
        ("{", "nomyo[cli]"),
        ("[]", "nomyo[cli]"),
        ('{"dir_info": 1}', "nomyo[cli]==1.2.3"),
    ],
)
def test_copy_from_an_address_is_installed_from_it_without_credentials(
    install: Install, origin: str | dict[str, Any], requirement: str
) -> None:
    install(origin)
    assert install_command("cli") == f"pip install '{requirement}'"


@pytest.mark.parametrize(
    "origin",
    [
        "[" * 100_000,
        {"url": "https://[nowhere/nomyo.whl"},
        {"url": "file://[nowhere/nomyo.whl", "dir_info": {"editable": True}},
        {"url": "https:user:canary@host/nomyo.whl"},
        {"url": "https://host/nomyo.whl#token=canary"},
        {"url": "https://host/nomyo.whl\nrm canary"},
        {"url": "https://host/\x1b[31mcanary.whl"},
        {"url": "https://host/r.git", "vcs_info": {}},
        {"url": "https://host/r.git", "vcs_info": {"vcs": 5, "commit_id": ["canary"]}},
        {"url": "https://host/r.git", "vcs_info": {"vcs": "git", "commit_id": "a"}, "subdirectory": ["canary"]},
    ],
)
def test_address_that_no_installer_writes_is_left_out(install: Install, origin: str | dict[str, Any]) -> None:
    install(origin)
    assert install_command("serve") in ("pip install 'nomyo[serve]==1.2.3'", "pip install 'nomyo[serve]'")


@pytest.mark.parametrize("executable", ["", None])
def test_program_that_has_python_inside_names_no_interpreter(
    install: Install, monkeypatch: pytest.MonkeyPatch, executable: str | None
) -> None:
    install()
    monkeypatch.setattr(sys, "executable", executable)
    assert install_command("serve") == "pip install 'nomyo[serve]'"


def test_environment_that_is_not_active_is_named(
    install: Install, environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(installer=None)
    monkeypatch.setenv("PATH", "/nowhere")
    assert install_command("cli") == f"{environment}/bin/python -m pip install 'nomyo[cli]'"


def test_uv_installs_into_the_environment_that_has_no_pip(install: Install, environment: Path) -> None:
    install(installer="uv")
    assert install_command("cli") == f"uv pip install --python {environment}/bin/python 'nomyo[cli]'"


@pytest.mark.parametrize(
    ("left_behind", "name", "command"),
    [
        ("pipx_metadata.json", "nomyo", "pipx install --force 'nomyo[cli]'"),
        ("pipx_metadata.json", "llm", "pipx inject --force llm 'nomyo[cli]'"),
        ("uv-receipt.toml", "nomyo", "uv tool install --force 'nomyo[cli]'"),
        ("uv-receipt.toml", "llm", "uv tool install llm --with 'nomyo[cli]'"),
    ],
)
def test_environment_of_one_program_is_changed_by_what_made_it(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left_behind: str, name: str, command: str
) -> None:
    install(installer="uv" if left_behind.startswith("uv") else "pip")
    (tmp_path / name).mkdir()
    (tmp_path / name / left_behind).write_text("")
    monkeypatch.setattr(sys, "prefix", str(tmp_path / name))
    assert install_command("cli") == command


def test_source_that_nobody_installed_is_installed_by_name(environment: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(environment)])
    assert install_command("cli") == "pip install 'nomyo[cli]'"


def test_shell_of_windows_takes_double_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "name", "nt")
    words = [quoted(word) for word in ("pip", "nomyo[cli]", r"C:\my wheels\n.whl[cli]")]
    monkeypatch.undo()
    assert words == ["pip", '"nomyo[cli]"', r'"C:\my wheels\n.whl[cli]"']
