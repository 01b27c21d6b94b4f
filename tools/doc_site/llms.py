"""Writes llms.txt (https://llmstxt.org): the index, with links to pages in Markdown; llms-full.txt has them all."""

from __future__ import annotations

from pathlib import Path

from doc_site import index


def write(pages: dict[str, str], site: Path) -> None:
    """Write both files into the site, and each page in Markdown beside its HTML."""
    for name, text in pages.items():
        (site / name).write_text(text)
    (site / "llms.txt").write_text(pages["index.md"])
    order = ["index.md", *(page.name for page in index.pages())]
    rest = [name for name in pages if name not in order]  # the parts of the reference
    (site / "llms-full.txt").write_text("\n\n".join(pages[name].rstrip() for name in [*order, *rest]) + "\n")
