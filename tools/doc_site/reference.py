"""Splits docs/reference.md: on the site, each of its parts is a page, and all links lead to the right one."""

from __future__ import annotations

import re

from doc_site.links import outside_code

WHOLE = "reference.md"
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_PART = re.compile(r"^(?=## )", re.MULTILINE)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_OWN_LINK = re.compile(r"\]\(#(?P<anchor>[\w-]+)\)")
_LINK = re.compile(r"\]\(reference\.md#(?P<anchor>[\w-]+)\)")


def split(text: str) -> dict[str, str]:
    """Return the pages of the reference by name: the contents, then one for each heading of the second level."""
    head, *parts = _PART.split(text)
    places = _places(text)
    pages = {_name(part): outside_code(part, _raised) for part in parts}
    return {name: _led(page, _OWN_LINK, places) for name, page in {WHOLE: head, **pages}.items()}


def placed(text: str, whole: str) -> str:
    """Return another page, whose links into the whole reference lead to its parts."""
    places = _places(whole)
    return _led(text, _LINK, places)


def _places(whole: str) -> dict[str, str]:
    """Return the page of each anchor."""
    head, *parts = _PART.split(whole)
    own = dict.fromkeys(_anchors(head), WHOLE)
    return own | {anchor: _name(part) for part in parts for anchor in _anchors(part)}


def _led(text: str, links: re.Pattern[str], places: dict[str, str]) -> str:
    def place(link: re.Match[str]) -> str:
        return f"]({places[link['anchor']]}#{link['anchor']})"

    return outside_code(text, lambda part: links.sub(place, part))


def _raised(text: str) -> str:
    """Return a text with headings one level higher."""
    return re.sub(r"^#(?=#)", "", text, flags=re.MULTILINE)


def _name(part: str) -> str:
    """Return the page of a part: `## nomyo.batch` is reference-nomyo-batch.md."""
    heading = part.partition("\n")[0].removeprefix("## ")
    return f"reference-{re.sub(r'[^a-z]+', '-', heading.lower())}.md"


def _anchors(text: str) -> list[str]:
    headings = _HEADING.findall(_FENCED.sub("", text))
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
