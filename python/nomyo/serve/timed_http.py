"""HTTP/1.1 for hostile clients: each state of a connection has a deadline, even if bytes keep coming one by one.

uvicorn bounds only the pause between two requests, and not even that once a byte of an unread body has arrived. The
state of a connection is what h11 says about both sides:

    they               we                  waited for                    deadline (see Bounds)
    (TLS)              -                   the handshake                 head_s (asyncio's)
    IDLE               IDLE                a request's head              head_s, from the connection or its first byte
    IDLE               IDLE, again         a request's first byte        idle_s
    SEND_BODY          any                 the rest of a body            body_s, from the head
    DONE               SEND_RESPONSE       our application               its own
    DONE               SEND_BODY           the answer's end              answer_s
    any                any, not read       the client to read            stall_s
    SEND_BODY, ERROR   answered            the client's end              linger_s and linger_bytes, then the next line
    any                closed              the client to read the rest   stall_s

If a request is answered before its body has arrived, the answer says `Connection: close`. The rest of the request is
then read and dropped for a moment, because a connection that is closed with unread input is reset, and the reset can
overtake the answer (RFC 9112, section 9.6).
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum, auto
from typing import Any, Final, cast

import h11
from starlette.types import Message, Receive, Scope, Send
from uvicorn import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from nomyo.serve.bounds import Bounds
from nomyo.serve.connections import Connections, with_token_note
from nomyo.serve.log import BoundedLog
from nomyo.serve.strict_http import StrictConnection

_CLOSE: Final = (b"connection", b"close")
# The size of the pieces in which a body goes to the socket: the next one waits until the client has read some.
_PART_BYTES: Final = 64 * 1024

# SO_LINGER, on with 0 seconds (socket(7)): without it, the kernel goes on offering unsent data for minutes.
_RESET: Final = struct.pack("ii", 1, 0) if os.name == "posix" else struct.pack("hh", 1, 0)


class _State(Enum):
    HEAD = auto()
    IDLE = auto()
    BODY = auto()
    WORK = auto()
    ANSWER = auto()


class TimedHttp(H11Protocol):
    """uvicorn's own HTTP/1.1 with those deadlines.

    Args:
        config: uvicorn's.
        server_state: uvicorn's.
        app_state: uvicorn's.
        bounds: The deadlines.
        connections: Is told of tokens, and of the connection's end.
        log: The logger, in place of uvicorn's.
    """

    beginning: asyncio.Task[None] | None = None
    """Ends when the connection is made, TLS handshake included."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        *,
        bounds: Bounds,
        connections: Connections,
        log: BoundedLog,
    ) -> None:
        super().__init__(config, server_state, app_state)
        self.conn = StrictConnection()
        self.logger = log  # type: ignore[assignment]
        self._application = self.app
        self.app = self._answered
        self._bounds = bounds
        self._connections = connections
        self._raw_transport: asyncio.Transport | None = None
        self._state: _State | None = None
        self._due: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._used = False
        self._closed = False
        self._finishing = False
        self._dropped_bytes = 0

    @property
    def at_rest(self) -> bool:
        """Whether no request is under way."""
        unused = self._closed or self._state in (_State.HEAD, _State.IDLE)
        return unused and self._raw_transport is not None and self._raw_transport.get_write_buffer_size() == 0

    @property
    def incomplete(self) -> bool:
        """Whether a request has begun to arrive, but is not complete."""
        return self._state is _State.BODY

    def abort(self) -> None:
        """Close the connection now, and drop what the kernel holds of an answer that the client does not read."""
        if self._raw_transport is not None:
            connected = self._raw_transport.get_extra_info("socket")
            if connected is not None:  # a lost TLS connection has no socket any more
                with suppress(OSError):  # it may be gone
                    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self._raw_transport.abort()
        elif self.beginning is not None:
            self.beginning.cancel()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request, with a deadline."""
        self._raw_transport = transport
        super().connection_made(cast("asyncio.Transport", _OrderlyTransport(transport, self)))
        self._update_deadline()

    def data_received(self, data: bytes) -> None:
        """Take bytes that arrived; drop them if nothing more is answered."""
        if self._closed:
            self._drop(len(data))
            return
        super().data_received(data)
        self._update_deadline()

    def eof_received(self) -> None:
        """Treat the end of the client's data as the end of the connection; written data still goes out."""
        self._closed = True
        self._finish()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._used = True
        super().on_response_complete()
        self._update_deadline()

    def send_400_response(self, msg: str) -> None:
        """Refuse a request that is not HTTP; if an answer has begun, it ends there."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.close()

    def _unsupported_upgrade_warning(self) -> None:
        """Log nothing if a client asks for another protocol: a server may ignore that (RFC 9110, section 7.8)."""

    def pause_writing(self) -> None:
        """Wait for the client to read, with a deadline."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(self._bounds.stall_s, self.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def close(self) -> None:
        """Close the connection as soon as the client has read what was written. Idempotent."""
        if self._closed or self._raw_transport is None:
            return
        self._closed = True
        if self.conn.their_state in (h11.SEND_BODY, h11.ERROR):
            self._linger(self._raw_transport)
        else:
            self._finish()

    def shutdown(self) -> None:
        """Close the connection: at once if no request is under way, or else after the present answer."""
        if self._closed:
            self._finish()
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop everything that belongs to the connection."""
        self._closed = True
        super().connection_lost(exc)
        for timer in (self._due, self._stalled):
            if timer is not None:
                timer.cancel()
        self._connections.forget(self)

    @property
    def closed(self) -> bool:
        """Whether the connection is closing: only data that was already written is still sent."""
        return self._closed

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start" and self.conn.their_state is h11.SEND_BODY:
                message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
            for part in _parts(message):
                await send(part)
            self._update_deadline()

        application = cast("Callable[..., Any]", self._application)
        noting = with_token_note(scope, lambda: self._connections.note_token(self))
        try:
            await application(noting, receive, sending)
        except asyncio.CancelledError:  # the server stops, and its grace period is over: nothing to log
            self.cycle.disconnected = True
            self.abort()

    def _update_deadline(self) -> None:
        """Set the deadline of the present state, if it is a new one."""
        state = None if self._closed else self._present_state()
        if state is None or state is self._state:
            return
        self._state = state
        deadlines = {
            _State.HEAD: (self._bounds.head_s, self.abort),
            _State.IDLE: (self._bounds.idle_s, self.close),
            _State.BODY: (self._bounds.body_s, self.abort),
            _State.ANSWER: (self._bounds.answer_s, self.abort),
        }
        self._set_deadline(deadlines.get(state))

    def _present_state(self) -> _State:
        they = self.conn.their_state
        if they is h11.IDLE:
            begun = not self._used or self.conn.trailing_data[0]
            return _State.HEAD if begun else _State.IDLE
        if they is h11.SEND_BODY:
            return _State.BODY
        return _State.ANSWER if self.conn.our_state is h11.SEND_BODY else _State.WORK

    def _set_deadline(self, deadline: tuple[float, Callable[[], None]] | None) -> None:
        if self._due is not None:
            self._due.cancel()
        self._due = None if deadline is None else self.loop.call_later(*deadline)

    def _linger(self, transport: asyncio.Transport) -> None:
        if self.cycle is not None and not self.cycle.response_complete:  # an application that waits for the body
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        with suppress(OSError):  # the client may have gone
            if transport.can_write_eof():
                transport.write_eof()
        transport.resume_reading()
        self._set_deadline((self._bounds.linger_s, self._finish))

    def _drop(self, count: int) -> None:
        self._dropped_bytes += count
        if self._dropped_bytes > self._bounds.linger_bytes:
            self._finish()

    def _finish(self) -> None:
        if self._finishing or self._raw_transport is None:
            return
        self._finishing = True
        if not self._raw_transport.is_closing():  # at a second close, TLS's transport forgets what `abort` needs
            self._raw_transport.close()
        self._set_deadline((self._bounds.stall_s, self._give_up))

    def _give_up(self) -> None:
        """Wait no longer for a client that does not finish: a TLS client that does not end its side, for example.

        If the kernel has the whole answer, it still delivers it, because a slow client may be far behind the kernel.
        The kernel itself drops data that is never read.
        """
        if self._raw_transport is None or self._raw_transport.get_write_buffer_size():
            self.abort()
        else:
            self._raw_transport.abort()


class _OrderlyTransport:
    """A transport whose `close` closes the connection in order, and which writes nothing afterwards."""

    def __init__(self, transport: asyncio.Transport, connection: TimedHttp) -> None:
        self._raw_transport = transport
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw_transport, name)

    def write(self, data: bytes) -> None:
        if not self._connection.closed:
            self._raw_transport.write(data)

    def close(self) -> None:
        self._connection.close()

    def is_closing(self) -> bool:
        return self._connection.closed or self._raw_transport.is_closing()


def _parts(message: Message) -> Iterator[Message]:
    """Cut an answer's body into pieces. A single write would take it whole, and hide whether the client reads."""
    body = message.get("body", b"")
    if len(body) <= _PART_BYTES:
        yield message
        return
    for start in range(0, len(body), _PART_BYTES):
        more = start + _PART_BYTES < len(body) or message.get("more_body", False)
        yield {**message, "body": body[start : start + _PART_BYTES], "more_body": more}
