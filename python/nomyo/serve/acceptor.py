"""Accepts the connections of a server, a few at a time and within its bounds, with a pause after each failure.

asyncio's own loop accepts up to the whole backlog before any connection is served, does not count TLS handshakes, and
if no descriptor is left, tries 2,048 times in a row, with a traceback for each.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import ssl
from collections.abc import Callable
from typing import Final

from nomyo.serve.bounds import Bounds
from nomyo.serve.connections import Connections
from nomyo.serve.log import BoundedLog, log_without_message
from nomyo.serve.timed_http import TimedHttp

# How many connections are accepted in one turn of the event loop. With one at a time, a caller with a token behind a
# crowd in the backlog would wait one turn of a busy loop for each stranger. Connections that are closed to make room
# are closed a turn later, and the reserve of descriptors holds that many. At most a sixteenth of all, or a new
# connection could be closed before its token was read.
_AT_ONCE: Final = 16
# The time between two attempts if the system gives no connection; the callers wait in the backlog meanwhile.
_PAUSE_S: Final = 0.1
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Acceptor:
    """Accepts connections until it is stopped.

    Args:
        listening: The listening socket.
        make: Makes the protocol of a connection.
        connections: Counts and bounds the connections.
        tls: The TLS context; None for plain HTTP.
        bounds: The deadlines of a TLS handshake and of closing.
        log: Gets a line if the system gives no connection.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], TimedHttp],
        connections: Connections,
        tls: ssl.SSLContext | None,
        bounds: Bounds,
        log: BoundedLog,
    ) -> None:
        self._listening = listening
        self._make = make
        self._connections = connections
        self._tls = tls
        self._bounds = bounds
        self._at_once = max(1, min(_AT_ONCE, bounds.max_connections() // 16))
        self._log = log
        self._accepting: asyncio.Task[None] | None = None
        self._beginning: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Start to accept connections."""
        self._listening.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())

    async def stop(self) -> None:
        """Stop accepting, and cancel TLS handshakes under way. Idempotent."""
        under_way = [task for task in (self._accepting, *self._beginning) if task is not None]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        for number in itertools.count(1):
            try:
                accepted, _address = await loop.sock_accept(self._listening)
                self._begin(accepted)
            except (OSError, MemoryError) as error:
                self._log.warning(
                    "a connection could not be accepted: %s", getattr(error, "strerror", None) or "no memory"
                )
                if getattr(error, "errno", errno.ENOMEM) in _NO_ROOM:
                    self._connections.make_room()  # not for an error of one connection in the backlog (accept(2))
                await asyncio.sleep(_PAUSE_S)
            except Exception as error:  # noqa: BLE001 - the loop must not end: nobody would be answered any more
                log_without_message(self._log, error)
            if number % self._at_once == 0:
                await asyncio.sleep(0)  # sock_accept does not wait if a connection is there already

    def _begin(self, accepted: socket.socket) -> None:
        protocol = self._make()
        if not self._connections.admit(protocol):
            accepted.close()
            return
        self._bound_unread(accepted)
        task = protocol.beginning = asyncio.create_task(self._hand_over(protocol, accepted))
        self._beginning.add(task)

        def begun(task: asyncio.Task[None]) -> None:
            self._beginning.discard(task)
            if task.cancelled() or task.exception() is not None:  # a failed handshake is not worth a log line
                self._connections.forget(protocol)
                protocol.abort()  # the connection was made if the handshake ended just as it was cancelled
                accepted.close()

        task.add_done_callback(begun)

    def _bound_unread(self, accepted: socket.socket) -> None:
        """Have the kernel drop data that the client never reads: it keeps megabytes of answers, even after a close."""
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux: tcp(7)
            milliseconds = int(self._bounds.stall_s * 1000)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    async def _hand_over(self, protocol: TimedHttp, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        if self._tls is None:
            await loop.connect_accepted_socket(lambda: protocol, accepted)
            return
        await loop.connect_accepted_socket(
            lambda: protocol,
            accepted,
            ssl=self._tls,
            ssl_handshake_timeout=self._bounds.head_s,
            ssl_shutdown_timeout=self._bounds.stall_s,
        )
