"""What pyproject.toml, Cargo.toml and git say of the project."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

# In `[project.urls]` of pyproject.toml, and what each is for.
ADDRESSES = {
    "Repository": "where the source is; links of the README lead there",
    "Documentation": "where the site of `make docs` is",
    "Security": "where somebody reports a vulnerability in private",
}
# RFC 2606 and RFC 6761: names that nobody can have.
_NOBODYS = ("example", "invalid", "localhost", "test", "example.com", "example.net", "example.org")
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")


class UnfitError(Exception):
    """A file that is missing, or that does not say what it should; the message tells which and what."""


def read(path: Path) -> str:
    """Return the text of a file; UnfitError if it cannot be read."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnfitError(f"{path.name} cannot be read: {error}") from None


def version(root: Path) -> str:
    """Return the version in Cargo.toml, of which all others are made."""
    found = _table(root / "Cargo.toml", "workspace", "package").get("version")
    if not isinstance(found, str) or not _VERSION.fullmatch(found):
        raise UnfitError(f"Cargo.toml: [workspace.package] version should be like 1.0.0, and is {found!r}")
    return found


def addresses(root: Path) -> dict[str, str]:
    """Return the addresses that are set."""
    table = _table(root / "pyproject.toml", "project").get("urls", {})
    if not isinstance(table, dict):
        raise UnfitError("pyproject.toml: [project.urls] should be a table of names and addresses")
    return {name: str(table[name]).strip() for name in ADDRESSES if name in table}


def is_address(text: str) -> bool:
    """Say whether somebody can open an address: https, and a host that is no placeholder."""
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").lower()
    except ValueError:
        return False
    is_placeholder = any(host == name or host.endswith(f".{name}") for name in _NOBODYS)
    return parts.scheme == "https" and "." in host and not is_placeholder and not re.search(r"[\s<>\"'`]", text)


def git(root: Path, *words: str) -> str:
    """Return what git prints, without the white space around; UnfitError if it fails."""
    try:
        done = subprocess.run(["git", "-C", root, *words], check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise UnfitError("git is missing") from None
    except subprocess.CalledProcessError as error:
        raise UnfitError(f"`git {' '.join(words)}` fails: {error.stderr.strip()}") from None
    return done.stdout.strip()


def _table(path: Path, *names: str) -> dict[str, Any]:
    try:
        table: Any = tomllib.loads(read(path))
    except tomllib.TOMLDecodeError as error:
        raise UnfitError(f"{path.name} is not TOML: {error}") from None
    for name in names:
        table = table.get(name) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        raise UnfitError(f"{path.name} has no table [{'.'.join(names)}]")
    return table
