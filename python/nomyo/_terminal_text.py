"""Makes characters visible that a terminal would obey.

Control characters could move the cursor, rename the window, read the clipboard or type for the user (ECMA-48; xterm's
"Control Sequences"). They are shown as `cat -v` and `less` show them. Format characters could display a line in another
order than it has (UAX #9; "Trojan Source", CVE-2021-42574), or hide words. They are shown as escapes. Characters that
languages and emoji need stay: joiners, break opportunities, soft hyphens, marks around numbers, the tags in flags. Text
from right to left stays, too, because it needs no format character to be in order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# C0 but for tab and line feed, a carriage return that no line feed follows, delete, and C1 in UTF-8.
_CONTROLS: Final = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|\xc2[\x80-\x9f]"
_FORMATS: Final = (
    rb"\xd8\x9c"  # U+061C
    rb"|\xe1\xa0\x8e"  # U+180E
    rb"|\xe2\x80[\x8e\x8f\xa8-\xae]"  # U+200E to 200F, U+2028 to 202E: marks of direction, separators, overrides
    rb"|\xe2\x81[\xa0-\xaf]"  # U+2060 to 206F: among them isolates
    rb"|\xef\xbb\xbf|\xef\xbf[\xb9-\xbb]"  # U+FEFF; U+FFF9 to FFFB: annotations between lines
    rb"|\xf0\x9b\xb2[\xa0-\xa3]|\xf0\x9d\x85[\xb3-\xba]"  # U+1BCA0 to 1BCA3, U+1D173 to 1D17A: shorthand, music
    rb"|\xf3\xa0[\x80\x81][\x80-\xbf]"  # U+E0000 to E007F: tags
)
# A black flag, tags of a region, and their end (UTS #51, ED-14a).
_FLAG: Final = rb"(?P<flag>\xf0\x9f\x8f\xb4(?:\xf3\xa0\x80[\xb0-\xb9]|\xf3\xa0\x81[\xa1-\xba]){3,6}\xf3\xa0\x81\xbf)"
_UTF_8_TERMINAL: Final = re.compile(rb"|".join([_FLAG, _CONTROLS, _FORMATS]))
# To a terminal of another encoding, a byte of a UTF-8 character may be a C1 control.
_OTHER_TERMINAL: Final = re.compile(_CONTROLS + rb"|(?P<flag>(?!))|[\xc0-\xff][\x80-\xbf]*")


def visible(view: memoryview, encoding: str = "utf-8") -> Iterator[memoryview | bytes]:
    """Yield the pieces of a UTF-8 text, in which each character that a terminal would obey is shown as an escape.

    Args:
        view: The text.
        encoding: The terminal's encoding. If it is not UTF-8, all characters beyond ASCII are shown as escapes.
    """
    harmful = _UTF_8_TERMINAL if encoding.lower() in ("utf-8", "utf8") else _OTHER_TERMINAL
    start = 0
    for found in harmful.finditer(view):
        if found["flag"] is None:
            yield view[start : found.start()]
            yield _shown(found[0])
            start = found.end()
    yield view[start:]


def visible_line(text: str) -> str:
    """Return a text as one line for a terminal: line feeds and lone surrogates are shown as escapes, too."""
    return "^J".join(map(_visible_text, text.split("\n")))


def visible_lines(text: str) -> str:
    """Return a text of several lines for a terminal."""
    return "\n".join(map(_visible_text, text.split("\n")))


def _visible_text(text: str) -> str:
    with memoryview(text.encode("utf-8", "backslashreplace")) as view:
        return b"".join(visible(view)).decode()


def _shown(character: bytes) -> bytes:
    if len(character) == 1 and character < b"\x80":
        return b"^" + bytes([character[0] ^ 0x40])
    if character[0] == 0xC2 and character[1] < 0xA0:
        return b"<%02X>" % character[1]
    return character.decode("utf-8", "backslashreplace").encode("ascii", "backslashreplace")
