"""Passwords on their way from a file into locked memory, without becoming Python strings."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Final

from nomyo.memory import SecureBuffer

STDIN: Final = Path("/dev/stdin")
_BYTE_ORDER_MARKS: Final = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LINE_END: Final = re.compile(rb"[\r\n]")


def from_file(path: Path) -> SecureBuffer:
    """Read a password from a file, without the end of its line; "-" is stdin.

    Raises:
        OSError: The file cannot be read.
        ValueError: There is nothing in it, more than one line, or a byte order mark.
    """
    with SecureBuffer.from_file(STDIN if str(path) == "-" else path) as content:
        if not content:
            raise ValueError("the password's file is empty")
        password = without_line_end(content, len(content))
    fault = _fault(password)
    if fault is None:
        return password
    password.close()
    raise ValueError(fault)


def without_line_end(content: SecureBuffer, length: int) -> SecureBuffer:
    """Copy a password from locked memory to locked memory, without the end of its line; the source is wiped.

    Args:
        content: Begins with the password.
        length: How many of its bytes were read.
    """
    with content.data as view:
        for end in b"\n\r":
            length -= length > 0 and view[length - 1] == end
        with view[:length] as password:
            return SecureBuffer(password)


def _fault(password: SecureBuffer) -> str | None:
    """Return why a file's content is hardly the password that was meant: editors and shells add what nobody sees."""
    with password.data as view:
        if any(view[: len(mark)] == memoryview(mark) for mark in _BYTE_ORDER_MARKS):
            return "the password's file begins with a byte order mark: save it as UTF-8 without one"
        if _LINE_END.search(view):
            return "the password's file has more than one line: the password is the only one"
    return None
