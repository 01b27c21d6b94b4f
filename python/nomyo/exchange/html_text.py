"""The text of a page in HTML, without its tags."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

_NOT_SHOWN: Final = frozenset({"head", "script", "style"})


def visible_text(page: str) -> str:
    """Return the text that a browser would show of a page, in one line."""
    reader = _PageReader()
    reader.feed(page)
    reader.close()
    return " ".join(" ".join(reader.texts).split())


class _PageReader(HTMLParser):
    """Collects the text that a browser would show of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self._within: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "body":  # a page may leave out the end tag of its head
            self._within.clear()
        if tag in _NOT_SHOWN:
            self._within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in self._within:
            del self._within[self._within.index(tag) :]

    def handle_data(self, data: str) -> None:
        if not self._within:
            self.texts.append(data)
