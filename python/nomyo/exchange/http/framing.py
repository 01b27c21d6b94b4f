"""Where a response ends in the bytes of a connection, so that surplus bytes behind it are noticed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from .body import INTERIM_LIMIT

_BLANK_LINE: Final = re.compile(rb"\n\r?\n")  # as lenient as h11, so that both see the same end
_LONGEST_BLANK_LINE_BYTES: Final = 3
_INTERIM: Final = re.compile(rb"HTTP/1\.[0-9] 1(?!01).*?\n\r?\n", re.DOTALL)
_STATUS: Final = slice(9, 12)
_BODILESS: Final = (204, 304)
_LIMIT_BYTES: Final = 64 * 1024


class ResponseFraming:
    """Counts the bytes that came since we began to send a request, and finds the head of the final response."""

    def __init__(self) -> None:
        self.interims = 0
        """How many interim responses (1xx) came before the final one."""
        self._head = b""
        self._head_bytes = 0
        self._bytes = 0

    def add(self, piece: bytes) -> None:
        """Count what came."""
        self._bytes += len(piece)
        if self._head_bytes:
            return
        known = max(0, len(self._head) - _LONGEST_BLANK_LINE_BYTES)
        self._head += piece
        while self.interims <= INTERIM_LIMIT and (end := _BLANK_LINE.search(self._head, known)) is not None:
            if not _is_interim(self._head[_STATUS]):
                self._head_bytes = end.end()
                self._head = self._head[_STATUS]
                return
            self.interims += 1
            self._head, known = self._head[end.end() :], 0

    @property
    def status(self) -> bytes:
        """The status of the final response; empty if its head has not come yet."""
        return self._head if self._head_bytes else b""

    def is_one_response(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether all that came is one response with these headers.

        In doubt it is not: if the response has no length, if its status means that it has no body whatever its length
        says, or if interim responses came before it.
        """
        lengths = [value for name, value in headers if name.lower() == b"content-length"]
        if len(lengths) != 1 or not lengths[0].isdigit() or status in _BODILESS:
            return False
        return not self.interims and self._head_bytes > 0 and self._bytes == self._head_bytes + int(lengths[0])


def has_final_response_begun(received: bytes) -> bool:
    """Return whether a final response has begun, or more bytes of interim ones (1xx) came than servers send."""
    start = 0
    while (interim := _INTERIM.match(received, start)) is not None:
        start = interim.end()
    status = received[start:][_STATUS]
    return (len(status) == 3 and not _is_interim(status)) or len(received) > _LIMIT_BYTES


def _is_interim(status: bytes) -> bool:
    return status.startswith(b"1") and status != b"101"
