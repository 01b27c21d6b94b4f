"""Writes an answer to stdout: exactly as it is to a pipe, and with visible control characters to a terminal.

The content is written from the place where it lies, so no copy is made of an answer in a SecureBuffer.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Final

from nomyo._terminal_text import visible
from nomyo.cli.streams import stdout_bytes

if TYPE_CHECKING:
    from typing_extensions import Buffer

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def write_answer(*pieces: Buffer | str) -> None:
    """Write an answer to stdout: to a pipe or a file in UTF-8, whatever the locale; to a terminal with escapes.

    On a terminal of another encoding, what is not ASCII is shown as an escape.

    Args:
        pieces: UTF-8, or str, in which U+FFFD replaces what UTF-8 cannot hold.

    Raises:
        OSError: It cannot be written; BrokenPipeError if nobody reads it.
    """
    if sys.stdout is None:  # it was closed before the start
        return
    out = stdout_bytes()
    on_terminal = out.isatty()
    ends_a_line = False
    for piece in pieces:
        with memoryview(encoded(piece) if isinstance(piece, str) else piece) as view:
            for part in visible(view, out.encoding) if on_terminal else (view,):
                out.write(part)
            ends_a_line = bool(view) and view[-1] == ord("\n")
    if on_terminal and not ends_a_line:
        out.write(b"\n")


def encoded(text: str) -> bytes:
    """Return a str as UTF-8, with U+FFFD for lone surrogates."""
    return _SURROGATES.sub("\ufffd", text).encode()
