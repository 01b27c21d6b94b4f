"""Arguments that become content or names on the wire: their bytes, as UTF-8."""

from __future__ import annotations

import os

import typer


def utf8_argument(what: str, text: str) -> str:
    """Return the text that an argument's bytes, or a variable's, are in UTF-8, whatever the locale.

    Python decodes them by the locale; what does not fit into it becomes lone surrogates (PEP 383), which no JSON holds.

    Args:
        what: What it is, for the refusal.
        text: As Python gives it.

    Raises:
        typer.BadParameter: The bytes are not UTF-8.
    """
    try:
        return os.fsencode(text).decode()
    except UnicodeError:
        pass  # the error itself holds all of it
    raise typer.BadParameter(f"{what} is not UTF-8")
