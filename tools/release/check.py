"""What stands in the way of a release."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from release import project
from release.changelog import section
from release.links import absolute
from release.project import ADDRESSES, UnfitError


def obstacles(root: Path, tag: str | None) -> list[str]:
    """Return all that has to be done before a release, in words; nothing if it can go on.

    Args:
        root: The root of the repository.
        tag: The tag of which the release is made; None if there is none yet.
    """
    checks: list[Callable[[Path, str | None], Iterator[str]]] = [_addresses, _version, _readme, _tree]
    return [said for check in checks for said in _said(check, root, tag)]


def _said(check: Callable[[Path, str | None], Iterator[str]], root: Path, tag: str | None) -> list[str]:
    try:
        return list(check(root, tag))
    except UnfitError as error:
        return [str(error)]


def _addresses(root: Path, _tag: str | None) -> Iterator[str]:
    known = project.addresses(root)
    for name, purpose in ADDRESSES.items():
        if not known.get(name):
            yield f"pyproject.toml: {name} is not set in [project.urls] ({purpose})"
        elif not project.is_address(known[name]):
            yield f"pyproject.toml: {name} in [project.urls] should be an https address that people can open"


def _version(root: Path, tag: str | None) -> Iterator[str]:
    version = project.version(root)
    if tag is not None and tag != f"v{version}":
        yield f"the tag is {tag}, and Cargo.toml has the version {version}, whose tag is v{version}"
    found = section(root, version)
    if not found.has_date:
        yield f"CHANGELOG.md: the heading of {version} should have the day of the release: ## {version} (YYYY-MM-DD)"


def _readme(root: Path, _tag: str | None) -> Iterator[str]:
    absolute(project.read(root / "README.md"), root, "https://repository", "tag")
    yield from ()


def _tree(root: Path, tag: str | None) -> Iterator[str]:
    changed = project.git(root, "status", "--porcelain").splitlines()
    if changed:
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        first = changed[0].split(maxsplit=1)[1]
        yield f"the tree is not clean: {first}{more}; commit or remove what differs from the commit"
    if tag is not None and tag not in project.git(root, "tag", "--points-at", "HEAD").split():
        yield f"the tag {tag} is not at the commit that is checked out"
