"""Makes other people's text safe for errors, logs and terminals: bounded, without line ends or control characters."""

from __future__ import annotations


def printable(text: str, limit_chars: int, *, instead: str = " ") -> str:
    """Return the beginning of a text, in which each character that cannot be printed is replaced.

    Args:
        text: The text.
        limit_chars: How many of its characters are used.
        instead: The replacement for a character that cannot be printed.
    """
    return "".join(c if c.isprintable() else instead for c in text[:limit_chars])
