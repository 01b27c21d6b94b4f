"""HTTP/1.1 for clients without good will: whoever sends no request, or does not take the answer, is hung up on.

uvicorn bounds the pause between two requests alone. A connection that says nothing, a request whose headers never
end and an answer that is never read would each hold a file and memory for as long as their client likes.
"""

from __future__ import annotations

import asyncio
from typing import Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_TIMEOUT_S: Final = 30.0
"""From the connection, or a request's first byte, to the end of its headers."""
STALL_TIMEOUT_S: Final = 60.0
"""For which a client may leave what it is sent unread."""


class TimedHttp(H11Protocol):
    """uvicorn's own HTTP/1.1 with those two bounds."""

    _headers_due: asyncio.TimerHandle | None = None
    _reading_due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, and not for ever."""
        super().connection_made(transport)
        self._expect_headers()

    def data_received(self, data: bytes) -> None:
        """Take what came; headers that have begun must end in time."""
        super().data_received(data)
        if self.conn.their_state is h11.IDLE:
            self._expect_headers()
        elif self._headers_due is not None:
            self._headers_due.cancel()
            self._headers_due = None

    def pause_writing(self) -> None:
        """Wait for the client to read, and not for ever."""
        super().pause_writing()
        if self._reading_due is None:
            self._reading_due = self.loop.call_later(STALL_TIMEOUT_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        if self._reading_due is not None:
            self._reading_due.cancel()
            self._reading_due = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget both waits."""
        super().connection_lost(exc)
        for due in (self._headers_due, self._reading_due):
            if due is not None:
                due.cancel()

    def _expect_headers(self) -> None:
        if self._headers_due is None:
            self._headers_due = self.loop.call_later(HEADERS_TIMEOUT_S, self.transport.abort)
