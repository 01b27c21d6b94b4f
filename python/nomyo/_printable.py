"""Makes other people's text safe for errors, logs and terminals: bounded, without line ends or control characters."""

from __future__ import annotations

import re
from typing import Final

# A server may write a whole text where an ID is expected: what is longer, or has a space, is not shown.
_ID: Final = re.compile(r"[A-Za-z0-9_.:/@+-]{1,100}")


def printable(text: str, limit_chars: int, *, instead: str = " ") -> str:
    """Return the beginning of a text, in which each character that cannot be printed is replaced.

    Args:
        text: The text.
        limit_chars: How many of its characters are used.
        instead: The replacement for a character that cannot be printed.
    """
    return "".join(c if c.isprintable() else instead for c in text[:limit_chars])


def printable_id(value: object) -> str | None:
    """Return an ID, or a name like one, that a server gives; None for anything that may be a text."""
    return value if isinstance(value, str) and _ID.fullmatch(value) else None
