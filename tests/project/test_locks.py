"""The locks have each dependency, with hashes, in a version that pyproject.toml allows."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PYPROJECT["project"]["optional-dependencies"]
GROUPS = PYPROJECT["dependency-groups"]
NEEDED = PYPROJECT["project"]["dependencies"]
LOCKS = {
    "deploy/build-requirements.txt": [one for one in GROUPS["dev"] if one.startswith("maturin")],
    "deploy/requirements.txt": [*NEEDED, *EXTRAS["cli"], *EXTRAS["serve"]],
    "locks/dev.txt": [
        *NEEDED,
        *(one for name, extra in EXTRAS.items() if name not in ("ray", "speed") for one in extra),
        *(one for name in ("dev", "lint") for one in GROUPS[name]),
    ],
    "locks/docs.txt": GROUPS["docs"],
    "locks/speed.txt": [*NEEDED, *EXTRAS["speed"]],
}
PINNED = re.compile(r"^([a-z0-9-]+)==([^ ;]+)", re.MULTILINE)


@pytest.mark.parametrize("name", LOCKS)
def test_each_dependency_is_locked_in_a_version_that_is_allowed(name: str) -> None:
    locked: dict[str, list[str]] = {}
    for package, version in PINNED.findall((ROOT / name).read_text()):
        locked.setdefault(package, []).append(version)
    wanted = [one for one in map(Requirement, LOCKS[name]) if one.name != "nomyo"]
    assert wanted
    for one in wanted:
        assert one.name in locked, f"{one}: write the lock anew, by `make lock`"
        assert all(map(one.specifier.contains, locked[one.name])), f"{one}: write the lock anew, by `make lock`"


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_a_lock_has_hashes(name: str) -> None:
    for entry in re.split(r"\n(?=[a-z0-9])", (ROOT / name).read_text()):
        assert "--hash=sha256:" in entry, entry
