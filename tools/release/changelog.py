"""The section of a version in CHANGELOG.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from release.project import UnfitError, read

_HEADING = re.compile(r"^## (?P<version>\S+)(?: \((?P<when>[^)]*)\))?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """What changed in a version."""

    when: str
    """What stands in parentheses behind the version: the day of the release, or `unreleased`."""
    text: str

    @property
    def has_date(self) -> bool:
        """Whether the day is one (like 2026-12-01)."""
        try:
            return date.fromisoformat(self.when).isoformat() == self.when  # ISO 8601 has other forms, too
        except ValueError:
            return False


def section(root: Path, version: str) -> Section:
    """Return the section of a version; UnfitError if there is none, or nothing in it."""
    text = read(root / "CHANGELOG.md")
    headings = list(_HEADING.finditer(text))
    for number, heading in enumerate(headings):
        if heading["version"] == version:
            end = headings[number + 1].start() if number + 1 < len(headings) else len(text)
            body = text[heading.end() : end].strip()
            if not body:
                raise UnfitError(f"CHANGELOG.md: the section of {version} is empty")
            return Section(heading["when"] or "", body + "\n")
    raise UnfitError(f"CHANGELOG.md has no section `## {version} (YYYY-MM-DD)`")
