"""Rewrites the links of a page for its place on the site."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

_FENCED = re.compile(r"(^ *```.*?^ *```$)", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<target>[^)\s]+)\)")
"""A link or an image, with one level of brackets in its text."""
OUTWARD = ("http://", "https://", "mailto:")
"""How the target of a link begins that leads to another site."""


def outside_code(text: str, change: Callable[[str], str]) -> str:
    """Return a page with `change` applied to all of it but its fenced code."""
    parts = _FENCED.split(text)
    return "".join(part if number % 2 else change(part) for number, part in enumerate(parts))


def rewritten(text: str, source: Path, places: dict[Path, str], images: Callable[[Path], str]) -> str:
    """Return a page whose links lead to the pages of the site.

    A link to a file of the source that is no page becomes its text: the site has no such file.

    Args:
        text: The page.
        source: Its file, from which relative links count.
        places: The site's pages by their files, and what else a link may lead to.
        images: Takes an image's file, and returns its path on the site.
    """

    def place(link: re.Match[str]) -> str:
        path, _, anchor = link["target"].partition("#")
        if link["target"].startswith(OUTWARD) or not path:
            return link[0]
        file = (source.parent / path).resolve()
        if link["image"]:
            return f"![{link['text']}]({images(file)})"
        if file in places:
            return f"[{link['text']}]({places[file]}{'#' + anchor if anchor else ''})"
        if file.is_file():
            return link["text"]
        raise FileNotFoundError(f"{source}: {link['target']}")

    return outside_code(text, lambda part: LINK.sub(place, part))
