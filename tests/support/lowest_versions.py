"""Prints the lowest version that pyproject.toml allows of each dependency, as requirements for `make test-lowest`.

Ray is left out: it brings 670 MB, and is tested in a venv of its own, with the versions that it wants.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
_LOWEST = re.compile(r"([A-Za-z0-9._-]+)>=([0-9.]+)")
_LEFT_OUT = ("ray", "nomyo")
_ELSEWHERE = "sys_platform == 'win32'"


def lowest_versions() -> list[str]:
    """Return `name==version` for all dependencies, those of the extras among them."""
    project = tomllib.loads(PYPROJECT.read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    named = [one for one in wanted if not one.startswith(_LEFT_OUT) and _ELSEWHERE not in one]
    found = [_LOWEST.match(one) for one in named]
    assert all(found), f"each dependency needs a lowest version: {named}"
    return sorted(f"{one[1]}=={one[2]}" for one in found if one)


if __name__ == "__main__":
    print("\n".join(lowest_versions()))
