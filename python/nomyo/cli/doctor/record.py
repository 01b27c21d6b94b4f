"""Compares installed files with RECORD, the list that an installer leaves of what it wrote.

Source: "Recording installed projects" of the Python Packaging User Guide (PEP 376, PEP 627). RECORD is a CSV file of
path, hash and size below the directory of all packages. It lies beside the files that it lists: someone who can write
these can also write RECORD, so a match tells of damage and of carelessness, not of an attacker who was careful.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import all_suffixes
from importlib.metadata import Distribution
from pathlib import Path, PurePosixPath
from typing import Final

# The specification refuses whatever is weaker than SHA-256.
_HASHES: Final = ("sha256", "sha384", "sha512")
_CACHE: Final = "__pycache__"


@dataclass(frozen=True, slots=True)
class Extra:
    """A file that RECORD does not list."""

    path: str
    in_place_of: str | None
    """The listed file that has the same module name: Python imports one of the two alone."""


@dataclass(slots=True)
class Files:
    """What a comparison with RECORD found; paths are below `root`."""

    root: str
    listed: int = 0
    """Without RECORD itself and cached byte code."""
    matching: int = 0
    without_hash: list[str] = field(default_factory=list)
    """Files that are there, and for which RECORD has no hash that can be judged."""
    altered: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    extra: list[Extra] = field(default_factory=list)
    record_failure: str | None = None
    """Why RECORD itself cannot be used; then nothing was compared."""
    elsewhere: list[str] = field(default_factory=list)
    """Files beside the packages (scripts) that are not where RECORD says: `pip install --target` moves them."""

    @property
    def differ(self) -> bool:
        """Whether anything is not as it was installed, or could not be compared."""
        return bool(self.altered or self.missing or self.unreadable or self.extra or self.record_failure)


@dataclass(frozen=True, slots=True)
class _Entry:
    path: str
    digest: str


def compare(found: Distribution, *, package: str | None) -> Files:
    """Compare the files of a distribution with its RECORD.

    Args:
        found: The distribution.
        package: The directory in which each file must be listed; None for an editable installation, which lists none
            of the package's files.
    """
    root = Path(str(found.locate_file("")))
    files = Files(str(root))
    try:
        entries = list(_entries(found))
    except (OSError, ValueError) as error:  # UnicodeDecodeError and csv's limits among them
        files.record_failure = str(error)
        return files
    judged = [entry for entry in entries if not _is_left_out(entry.path)]
    for entry in judged:
        _judge(files, root, entry)
    files.listed = len(judged)
    if package is not None:
        files.extra = list(_extra(root, package, [entry.path for entry in entries]))
    return files


def _entries(found: Distribution) -> Iterator[_Entry]:
    text = found.read_text("RECORD")
    if text is None:
        raise ValueError("it is missing or cannot be read")
    try:
        rows = [row for row in csv.reader(text.splitlines(), strict=True) if row]
    except csv.Error as error:
        raise ValueError(f"it is not CSV: {error}") from None
    if not rows:
        raise ValueError("it is empty")
    for number, row in enumerate(rows, 1):
        if len(row) != 3 or not row[0] or "\0" in row[0]:
            raise ValueError(f"line {number} is not a path, a hash and a size")
        yield _Entry(row[0], row[1])


def _is_left_out(name: str) -> bool:
    """Say whether no hash can be expected: of RECORD itself, and of cached byte code, which `bytecode` judges."""
    path = PurePosixPath(name)
    return path.parent.name == _CACHE or (path.name == "RECORD" and path.parent.suffix == ".dist-info")


def _is_beside(name: str) -> bool:
    """Say whether a file lies outside the directory of all packages, from which alone Python imports."""
    return PurePosixPath(name).is_absolute() or name.startswith("../")


def _judge(files: Files, root: Path, entry: _Entry) -> None:
    path = root / entry.path
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # a pipe would be waited for
            files.altered.append(entry.path)
            return
        algorithm, _, expected = entry.digest.partition("=")
        if algorithm not in _HASHES:
            files.without_hash.append(entry.path)
            return
        matches = _digest(path, algorithm) == expected.rstrip("=")
    except (FileNotFoundError, NotADirectoryError):
        (files.elsewhere if _is_beside(entry.path) else files.missing).append(entry.path)
    except (OSError, ValueError):
        files.unreadable.append(entry.path)
    else:
        if matches:
            files.matching += 1
        else:
            files.altered.append(entry.path)


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, algorithm).digest()
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def _extra(root: Path, package: str, listed: list[str]) -> Iterator[Extra]:
    """Yield the files below the package that are not listed, without Python's own cache."""
    modules = {module: path for path in listed if (module := module_name(path))}
    known = set(listed)
    for path in sorted((root / package).rglob("*")):
        name = path.relative_to(root).as_posix()
        if name in known or path.parent.name == _CACHE or (path.is_dir() and not path.is_symlink()):
            continue
        module = module_name(name)
        yield Extra(name, modules.get(module) if module else None)


def module_name(path: str) -> str | None:
    """Return the name by which Python imports a file (`nomyo/cli/__init__.py`: nomyo.cli); None for other files."""
    suffix = max((suffix for suffix in all_suffixes() if path.endswith(suffix)), key=len, default=None)
    if suffix is None:
        return None
    return path.removesuffix(suffix).replace("/", ".").removesuffix(".__init__")
