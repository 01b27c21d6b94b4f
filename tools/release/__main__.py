"""`python -m release`: checks what a release needs, prints its notes, and fits the README to a package index."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from release import project
from release.changelog import section
from release.check import obstacles
from release.links import absolute
from release.metadata import change_readme
from release.project import UnfitError


def main() -> int:
    """Run one of the three; return the exit code, 1 if something stands in the way."""
    parser = argparse.ArgumentParser(prog="python -m release", description="What a release needs.")
    parser.add_argument("--root", type=Path, default=Path(), help="the root of the repository")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="say what stands in the way of a release")
    check.add_argument("--tag", help="the tag of which the release is made")
    commands.add_parser("notes", help="print the section of the version in CHANGELOG.md")
    readme = commands.add_parser("readme", help="make the README's links absolute in built distributions, in place")
    readme.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a wheel or a source distribution")
    given = parser.parse_args()
    try:
        if given.command == "check":
            return _check(given.root, given.tag)
        if given.command == "notes":
            print(section(given.root, project.version(given.root)).text, end="")
        else:
            _readme(given.root, given.files)
    except (UnfitError, OSError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def _check(root: Path, tag: str | None) -> int:
    found = obstacles(root, tag)
    for one in found:
        print(f"release: {one}", file=sys.stderr)
    if not found:
        print(f"release: {project.version(root)} can be released")
    return 1 if found else 0


def _readme(root: Path, files: list[Path]) -> None:
    repository = project.addresses(root).get("Repository", "")
    if not project.is_address(repository):
        raise UnfitError("pyproject.toml: Repository in [project.urls] is not set, to which the links would lead")
    tag = f"v{project.version(root)}"
    for file in files:
        change_readme(file, lambda text: absolute(text, root, repository, tag))


if __name__ == "__main__":
    sys.exit(main())
