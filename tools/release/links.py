"""Links of the README for a page elsewhere, as that of a package index: relative ones would lead nowhere there."""

from __future__ import annotations

import re
from pathlib import Path

from doc_site.links import LINK, OUTWARD, outside_code
from release.project import UnfitError


def absolute(text: str, root: Path, repository: str, tag: str) -> str:
    """Return a page of the root whose relative links lead to the repository, to the files of a tag.

    Raises:
        UnfitError: A link leads to no file of the source.
    """
    base = repository.rstrip("/")

    def place(link: re.Match[str]) -> str:
        path, _, anchor = link["target"].partition("#")
        if link["target"].startswith(OUTWARD) or not path:
            return link[0]
        if not (root / path).is_file():
            raise UnfitError(f"README.md: the link to {path} leads to no file")
        way = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({base}/{way}/{tag}/{path}{'#' + anchor if anchor else ''})"

    return outside_code(text, lambda part: LINK.sub(place, part))
