"""Links between the pages of the documentation lead to files and headings that exist.

`make docs` also fails if one leads nowhere on the site. This looks at the pages as GitHub shows them, and takes no
generator.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from doc_site.index import names

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.md")])
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    """Return the names that headings have as targets: in lower case, without punctuation, with dashes for spaces."""
    headings = HEADING.findall(FENCED.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(FENCED.sub("", page.read_text())):
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_file(), link
        assert not anchor or anchor in _anchors(target), link


def test_index_of_the_site_names_every_page() -> None:
    assert sorted(names()) == PAGES


def test_readme_is_short_and_leads_to_every_page() -> None:
    readme = ROOT / "README.md"
    text = readme.read_text()
    assert len(text.splitlines()) <= 150
    seen = {readme}
    waiting = [readme]
    while waiting:
        page = waiting.pop()
        links = {(page.parent / link.partition("#")[0]).resolve() for link in LINK.findall(page.read_text())}
        found = {link for link in links & set(PAGES) if link not in seen}
        seen |= found
        waiting += found
    assert seen == set(PAGES)
