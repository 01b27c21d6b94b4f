"""Hides credentials of a request in what a server says, whatever way the server spells them.

A server quotes what it was sent in its own format: with JSON escapes, character references of HTML, percent-encoding,
zero bytes of another encoding, wrapped lines, or several of these on top of each other. So the search compares a text
and a credential without their escapes, and by visible ASCII alone, since a credential in a header has nothing else.
What it finds is hidden at its place in the original text. The search undoes neither base64 nor a server's own codes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Final, TypeAlias

SHORTEST_SECRET_CHARS: Final = 8
"""A shorter text is no secret, and may be part of any word."""

HIDDEN_KEY: Final = "[API key]"
HIDDEN_CREDENTIALS: Final = "[credentials]"
TOO_DEEP: Final = "..."
DEEPEST: Final = 100
"""Values that are nested deeper are left out: to copy, pickle or print them would end Python's stack."""

_MOST_LAYERS: Final = 8
"""How many times escapes may be escaped: each layer of a server's software may do it once."""

_ESCAPE: Final = r"""
    \\u (?P<hex_u>   [0-9a-fA-F]{4})             # JSON, RFC 8259, section 7
  | \\u\{ 0* (?P<hex_braces> [0-9a-fA-F]{1,6}) \}
  | \\U (?P<hex_U>   [0-9a-fA-F]{8})
  | \\x (?P<hex_x>   [0-9a-fA-F]{2})
  | \\  (?P<octal>   [0-3][0-7]{2})
  | \\  (?P<single>  .)
  | %u  (?P<hex_pu>  [0-9a-fA-F]{4})
  | %   (?P<hex_p>   [0-9a-fA-F]{2})             # RFC 3986, section 2.1
  | &\#[xX] 0* (?P<hex_ref> [0-9a-fA-F]{1,6}) ;?
  | &\# 0* (?P<decimal> [0-9]{1,7}) ;?
  | (?P<name> & [a-zA-Z][a-zA-Z0-9]{1,31} ;?)
    """
_BLANKS: Final = frozenset("bfnrt")
_Places: TypeAlias = list[tuple[int, int]]


class Redaction:
    """Hides credentials.

    Args:
        secrets: The credentials, each with the text that replaces it.
    """

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = {each: hidden for each, hidden in secrets.items() if len(each) >= SHORTEST_SECRET_CHARS}
        forms = [(form, hidden) for each, hidden in self._secrets.items() for form in _forms(each)]
        self._forms = {form: hidden for form, hidden in forms if len(form) >= SHORTEST_SECRET_CHARS}

    def text(self, text: str) -> str:
        """Return a text without the credentials."""
        for secret, hidden in self._secrets.items():
            text = text.replace(secret, hidden)
        found = self._found_in(text) if self._forms else {}
        pieces, at = [], 0
        for (begin, end), hidden in sorted(found.items()):
            if begin >= at:
                pieces += [text[at:begin], hidden]
            at = max(at, end)
        return "".join([*pieces, text[at:]])

    def value(self, value: Any, depth: int = 0) -> Any:
        """Return a value of JSON without the credentials, also in names and numbers."""
        if depth > DEEPEST:
            return TOO_DEEP
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(each, depth + 1) for each in value]
        if isinstance(value, dict):
            return {self.text(name): self.value(each, depth + 1) for name, each in value.items()}
        if isinstance(value, (int, float)) and (shown := self.text(digits := repr(value))) != digits:
            return shown
        return value

    def _found_in(self, text: str) -> dict[tuple[int, int], str]:
        """Return the places of credentials in a text, spelt in any way."""
        found: dict[tuple[int, int], str] = {}
        places: _Places = [(at, at + 1) for at in range(len(text))]
        for _ in range(_MOST_LAYERS):
            found |= self._found_in_layer(text, places)
            inner, places = _unescaped(text, places)
            if inner == text:
                break
            text = inner
        return found

    def _found_in_layer(self, text: str, places: _Places) -> dict[tuple[int, int], str]:
        kept = [at for at, character in enumerate(text) if _may_be_of_header(character)]
        visible = "".join(text[at] for at in kept)
        found: dict[tuple[int, int], str] = {}
        for form, hidden in self._forms.items():
            at = visible.find(form)
            while at >= 0:
                first, last = places[kept[at]], places[kept[at + len(form) - 1]]
                found[first[0], last[1]] = hidden
                at = visible.find(form, at + len(form))
        return found


def _forms(secret: str) -> set[str]:
    """Return a credential in the forms to search for: as it is, and without what looks like escapes in it."""
    bare = secret
    for _ in range(_MOST_LAYERS):
        bare = _escape().sub(_meant, bare)
    return {"".join(filter(_may_be_of_header, each)) for each in (secret, bare)}


@cache
def _escape() -> re.Pattern[str]:
    """Return the pattern, compiled when an error is first quoted: it takes 2 ms, which no start needs."""
    return re.compile(_ESCAPE, re.VERBOSE | re.DOTALL)


def _may_be_of_header(character: str) -> bool:
    """Return whether a character is compared: visible ASCII but the backslash, which escapes leave behind."""
    return "!" <= character <= "~" and character != "\\"


def _unescaped(text: str, places: _Places) -> tuple[str, _Places]:
    """Return a text without one layer of escapes, and the original place of each of its characters."""
    pieces, kept, at = [], [], 0
    for escape in _escape().finditer(text):
        begin, end = escape.span()
        meant = _meant(escape)
        pieces += [text[at:begin], meant]
        kept += places[at:begin]
        kept += [(places[begin][0], places[end - 1][1])] * len(meant)
        at = end
    return "".join([*pieces, text[at:]]), kept + places[at:]


def _meant(escape: re.Match[str]) -> str:
    """Return what an escape stands for."""
    kind = escape.lastgroup or ""
    if kind == "name":
        return html.unescape(escape[0])
    if kind == "single":
        return "" if escape[kind] in _BLANKS else escape[kind]
    base = {"octal": 8, "decimal": 10}.get(kind, 16)
    code = int(escape[kind], base)
    return chr(code) if code < 0x110000 else ""
