"""Pieces of Markdown as GitHub shows it."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence

_CODE = re.compile(r"`([\w.]+)`")
_PAGE = re.compile(r"\bdocs/(\w+\.md)")


def anchor(heading: str) -> str:
    """Return the name that a heading has as a target: in lower case, without punctuation, with dashes for spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def code(text: str) -> str:
    """Return text as code; nothing if it is empty."""
    return f"`{text}`" if text else ""


def fenced(text: str, language: str = "python") -> str:
    """Return a block of code."""
    return f"```{language}\n{text}\n```"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; nothing if it has no rows."""
    lines = [_row(row) for row in rows]
    return "\n".join([_row(head), "|---" * len(head) + "|", *lines]) if lines else ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", r"\|") for cell in cells) + " |"


def blocks(*parts: str) -> str:
    """Return parts with a blank line between two, without the empty ones."""
    return "\n\n".join(part for part in parts if part)


class Links:
    """Makes links of names that have a heading on the page.

    Args:
        headings: The anchor of each name. None stands for a name that two things have.
    """

    def __init__(self, headings: Mapping[str, str | None]) -> None:
        self._headings = headings

    def knows(self, name: str) -> bool:
        """Return whether a name has a heading."""
        return self._headings.get(name) is not None

    def to(self, name: str, shown: str = "") -> str:
        """Return the name, or what is shown for it, as code, and as a link if it has a heading."""
        target = self._headings.get(name)
        return f"[{code(shown or name)}](#{target})" if target else code(shown or name)

    def prose(self, text: str, owner: str = "") -> str:
        """Return the text of a docstring: with links, and with its indented lines as blocks of code.

        Args:
            text: Paragraphs.
            owner: The class, or the module, in which a name is looked up first.
        """
        parts = re.split(r"\n\s*\n(?! )|\n(?=\n    )", text)
        return blocks(*(self._paragraph(part, owner) for part in parts)).replace("\n```\n\n```python\n", "\n\n")

    def _paragraph(self, text: str, owner: str) -> str:
        lines = text.strip("\n")
        if lines.startswith(("    ", ">>>")):
            language = "pycon" if lines.startswith(">>>") else "python"
            return fenced(textwrap.dedent(lines).replace("  # doctest: +SKIP", ""), language)
        return self.inline(lines, owner)

    def inline(self, text: str, owner: str = "") -> str:
        """Return text with links in it."""
        linked = _CODE.sub(lambda found: self._link(found[1], owner) or found[0], text)
        return _PAGE.sub(r"[docs/\1](\1)", linked)

    def _link(self, name: str, owner: str) -> str | None:
        found = self._headings.get(f"{owner}.{name}") or self._headings.get(name)
        return f"[`{name}`](#{found})" if found and name != owner else None
