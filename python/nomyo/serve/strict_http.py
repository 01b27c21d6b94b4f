"""Reads HTTP/1.1 requests strictly: a request that two servers could read differently is refused.

A server behind another one must see the same requests as that one; where they differ, a request can be smuggled past
the first (RFC 9112, sections 2.2, 5.2, 6.1 and 11.2). h11 accepts a bare LF for a line's end, folded header lines, and
`Transfer-Encoding` beside `Content-Length` or in HTTP/1.0. Here they are errors: 400, and the connection closes.
"""

from __future__ import annotations

import re
from typing import Final

import h11
from h11._receivebuffer import ReceiveBuffer

# This leaves room for an X-Public-Key that is too long, so that the refusal can name that header.
_LONGEST_HEAD_BYTES: Final = 64 * 1024
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_FOLDED: Final = re.compile(rb"\n[ \t]")


class StrictConnection(h11.Connection):
    """The server's side of an h11 connection."""

    def __init__(self) -> None:
        super().__init__(h11.SERVER, _LONGEST_HEAD_BYTES)
        # h11 has no option for it, and its public parts show heads and trailers only when line ends are gone.
        assert type(self._receive_buffer) is ReceiveBuffer
        self._receive_buffer = _StrictBuffer()

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event, as h11 does.

        Raises:
            h11.RemoteProtocolError: The request is malformed, or could be read in two ways.
        """
        event = super().next_event()
        if isinstance(event, h11.Request):
            _check_framing(event)
        return event


def _check_framing(request: h11.Request) -> None:
    names = {name for name, _value in request.headers}
    if b"transfer-encoding" not in names:
        return
    if b"content-length" in names or request.http_version < b"1.1":
        raise h11.RemoteProtocolError("the length of the body is said in two ways")


class _StrictBuffer(ReceiveBuffer):
    """Bytes that arrived and are not read yet; checks heads and trailers line by line."""

    def maybe_extract_lines(self) -> list[bytearray] | None:
        before = bytes(self._data)
        lines = super().maybe_extract_lines()
        if lines is None:
            return None
        taken = before[: len(before) - len(self._data)]
        if len(taken) > _LONGEST_HEAD_BYTES:  # h11 looks at the length of what came in pieces alone
            raise h11.LocalProtocolError("too long")
        if _BARE_LF.search(taken) or _FOLDED.search(taken):
            raise h11.LocalProtocolError("a bare LF or a folded line")
        return lines
