"""An answer on its way to stdout: exact where it is piped, harmless where a terminal would obey it.

Control characters could move the cursor, rename the window, read the clipboard or type for the user (ECMA-48; xterm's
"Control Sequences"). On a terminal they are shown as `cat -v` and `less` show them. The content is written from where
it lies: of one in a SecureBuffer no copy is made.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from typing_extensions import Buffer

# C0 but for tab and line feed, a carriage return that no line feed follows, delete, and C1 in UTF-8.
_CONTROLS: Final = rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n)|\xc2[\x80-\x9f]"
_UTF_8_TERMINAL: Final = re.compile(_CONTROLS)
# To a terminal of another encoding, a byte of a UTF-8 character may be a C1 control.
_OTHER_TERMINAL: Final = re.compile(_CONTROLS + rb"|[\xc0-\xff][\x80-\xbf]*")
_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def write_answer(*pieces: Buffer | str) -> None:
    """Write an answer to stdout; on a terminal, printable and with an end of line.

    Args:
        pieces: UTF-8, or str, in which U+FFFD replaces what UTF-8 cannot hold.

    Raises:
        BrokenPipeError: Nobody reads it.
    """
    if sys.stdout is None:  # it was closed before the start, and descriptor 1 may be anything else by now
        return
    sys.stdout.flush()
    descriptor = sys.stdout.fileno()
    ends_a_line = False
    for piece in pieces:
        with memoryview(encoded(piece) if isinstance(piece, str) else piece) as view:
            _write_piece(descriptor, view)
            ends_a_line = bool(view) and view[-1] == ord("\n")
    if os.isatty(descriptor) and not ends_a_line:
        os.write(descriptor, b"\n")


def _write_piece(descriptor: int, view: memoryview) -> None:
    if not os.isatty(descriptor):
        _write(descriptor, view)
        return
    for piece in printable(view, sys.stdout.encoding):
        _write(descriptor, piece)


def printable(view: memoryview, encoding: str) -> Iterator[memoryview | bytes]:
    """Yield the pieces of a UTF-8 text, with something visible in the place of each control character."""
    harmful = _UTF_8_TERMINAL if encoding.lower() in ("utf-8", "utf8") else _OTHER_TERMINAL
    start = 0
    for found in harmful.finditer(view):
        yield view[start : found.start()]
        yield _visible(found[0])
        start = found.end()
    yield view[start:]


def printable_text(text: str) -> str:
    """Return a text without control characters, for one line of a terminal."""
    with memoryview(encoded(text)) as view:
        return b"".join(printable(view, "utf-8")).decode()


def encoded(text: str) -> bytes:
    """Return a str as UTF-8, with U+FFFD for lone surrogates."""
    return _SURROGATES.sub("\ufffd", text).encode()


def _visible(character: bytes) -> bytes:
    if len(character) == 1:
        return b"^" + bytes([character[0] ^ 0x40])
    if character[0] == 0xC2 and character[1] < 0xA0:
        return b"<%02X>" % character[1]
    return b"?"


def _write(descriptor: int, piece: memoryview | bytes) -> None:
    while piece:
        piece = piece[os.write(descriptor, piece) :]
