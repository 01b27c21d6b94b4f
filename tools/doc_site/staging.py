"""Writes the copies of the pages from which Sphinx builds the site."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from doc_site import index, links, reference


def markdown(images: Path) -> dict[str, str]:
    """Return all pages by their names on the site, and copy their images into a directory."""
    names = index.names()
    places = {**names, **index.programs()}

    def image(file: Path) -> str:
        shutil.copy(file, images / file.name)
        return file.name

    texts = {name: links.rewritten(source.read_text(), source, places, image) for source, name in names.items()}
    texts["examples.md"] += _programs()
    whole = texts.pop(reference.WHOLE)
    return {name: reference.placed(text, whole) for name, text in texts.items()} | reference.split(whole)


def stage(pages: dict[str, str], directory: Path) -> None:
    """Write the pages for Sphinx: two of them also name, in a form of Sphinx's own, what comes below them."""
    for name, text in pages.items():
        (directory / name).write_text(text + _below(name, pages))


def _below(name: str, pages: dict[str, str]) -> str:
    if name == "index.md":
        sections = index.sections().items()
        return "".join(
            _toctree(section, [f"{page.title} <{page.name}>" for page in found]) for section, found in sections
        )
    if name == reference.WHOLE:
        parts = [part for part in pages if part.startswith("reference-")]
        return _toctree("", [f"{_title(pages[part])} <{part}>" for part in parts])
    return ""


def _programs() -> str:
    """Return the source of all examples, to which their table leads."""
    return "".join(f"\n## {path.name}\n\n```python\n{path.read_text()}```\n" for path in index.programs())


def _title(text: str) -> str:
    found = re.match(r"# (.+)", text)
    assert found
    return found[1]


def _toctree(caption: str, entries: list[str]) -> str:
    head = ["```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else [])]
    return "\n".join(["", *head, "", *entries, "```", ""])
