"""Reads docs/index.md: which pages the site has, in which order, and what they are called there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
INDEX = ROOT / "docs" / "index.md"
# A page that is no file of docs/ has its own name on the site, in lower case: SECURITY.md is security.md.
_NAMES = {"README.md": "readme.md", "examples/README.md": "examples.md"}
_LINE = re.compile(r"^- \[(?P<title>[^\]]+)\]\((?P<link>[^)]+\.md)\): (?P<description>.+)$", re.MULTILINE)
_SECTION = re.compile(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Page:
    """A page: its title in the navigation, its file, its name on the site, and what the index says of it."""

    title: str
    source: Path
    name: str
    description: str


def sections(index: Path = INDEX) -> dict[str, list[Page]]:
    """Return the pages by section, in the order of the index."""
    return {heading: list(_pages(index, body)) for heading, body in _SECTION.findall(index.read_text())}


def pages() -> list[Page]:
    """Return all pages but the index itself."""
    return [page for section in sections().values() for page in section]


def names() -> dict[Path, str]:
    """Return each page's name on the site by its file, the index among them."""
    return {INDEX: "index.md", **{page.source: page.name for page in pages()}}


def programs() -> dict[Path, str]:
    """Return the place of each example on the site: the page of the examples shows them all."""
    return {path: f"examples.md#{path.stem}py" for path in sorted(ROOT.glob("examples/*.py"))}


def _pages(index: Path, body: str) -> list[Page]:
    found = []
    for line in _LINE.finditer(body):
        source = (index.parent / line["link"]).resolve()
        name = _NAMES.get(str(source.relative_to(ROOT)), source.name.lower())
        found.append(Page(line["title"], source, name, line["description"]))
    return found
