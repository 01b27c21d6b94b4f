"""Deadlines for a client that the caller brought. httpx bounds each single read, so that bytes that drip never end.

httpx's `trace` extension tells when a phase begins: when httpx sends a body, and when it reads headers and a body. With
an event loop, `asyncio.timeout` ends a phase that takes too long. Without one, only the end of the connection wakes a
thread that reads from a socket, so a timer shuts the socket down. A transport of another library has no `trace`: with
an event loop, one deadline bounds all phases up to the end of the headers; without one, only its own timeouts apply.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from ..._threads import is_no_thread
from ..effects import Request, Timeouts
from .given_peer import GivenPeer
from .upload import PIECE_BYTES

_FRAMES_ABOVE: Final = 6
"""How many frames above a call of `trace` we look for httpcore's connection; in httpcore 1.0 it is 3 above."""


class _Allowed:
    """How many seconds each step of a request may take; None for no bound."""

    def __init__(self, request: Request, timeouts: Timeouts) -> None:
        pieces = -(-len(request.body) // PIECE_BYTES)
        upload_s = None if timeouts.write_s is None else timeouts.write_s * max(1, pieces)
        self.body_s = timeouts.read_s
        self.before_body_s = _sum((timeouts.pool_s, timeouts.connect_s, upload_s, timeouts.read_s))
        self._steps: Final[Mapping[str, float | None]] = {
            "send_request_body.started": upload_s,
            "receive_response_headers.started": timeouts.read_s,
            "receive_response_body.started": timeouts.read_s,
        }

    def begun(self, event: str) -> tuple[bool, float | None]:
        """Return whether an event of httpcore begins a step that has a deadline, and the step's seconds."""
        step = event.partition(".")[2]
        return step in self._steps, self._steps.get(step)


class LoopDeadline:
    """Bounds an exchange in an event loop, which must run inside of `bound`."""

    def __init__(self, request: Request, timeouts: Timeouts) -> None:
        self._allowed = _Allowed(request, timeouts)
        self.peer = GivenPeer(request.url)
        self.bound = asyncio.timeout(self._allowed.before_body_s)

    async def trace(self, event: str, info: Any) -> None:
        """Begin the time of a step as httpcore begins it."""
        self.peer.note(event, info)
        begins, seconds = self._allowed.begun(event)
        self._reschedule(seconds if begins else self._allowed.before_body_s)

    def headers_came(self) -> None:
        """Begin the time of the body."""
        self._reschedule(self._allowed.body_s)

    def _reschedule(self, seconds: float | None) -> None:
        if not self.bound.expired():
            self.bound.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)


class ThreadDeadline:
    """Ends an exchange in a thread by shutting its socket down."""

    def __init__(self, request: Request, timeouts: Timeouts) -> None:
        self.passed = False
        self.peer = GivenPeer(request.url)
        self._allowed = _Allowed(request, timeouts)
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def trace(self, event: str, info: Any) -> None:
        """Begin the time of a step when httpcore does. Any other event ends it: another exchange may get the socket."""
        self.peer.note(event, info)
        begins, seconds = self._allowed.begun(event)
        self.end()
        connected = _socket_of_caller() if begins and seconds is not None else None
        if connected is not None and seconds is not None:
            self._begin(connected, seconds)

    def end(self) -> None:
        """Cancel the deadline of the present step. Idempotent."""
        with self._lock:
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _begin(self, connected: socket.socket, seconds: float) -> None:
        timer = threading.Timer(seconds, self._pass, (connected,))
        timer.daemon = True
        self._timer = timer
        try:
            timer.start()
        except RuntimeError as error:
            if not is_no_thread(error):
                raise
            self._timer = None  # the client's own timeouts still bound each single read

    def _pass(self, connected: socket.socket) -> None:
        with self._lock:
            if self._timer is not threading.current_thread():
                return
            self.passed = True
            # An SSLSocket's own method would take TLS away while the other thread reads through it.
            with suppress(OSError):  # it was closed already
                socket.socket.shutdown(connected, socket.SHUT_RDWR)


def _socket_of_caller() -> socket.socket | None:
    """Return the socket of the connection that called `trace`; None if the caller is no connection of httpcore.

    httpcore gives a connection's socket only with the answer, which is too late for headers that drip.
    """
    frame = inspect.currentframe()
    for _ in range(_FRAMES_ABOVE):
        frame = None if frame is None else frame.f_back
        found = None if frame is None else _socket_of(frame.f_locals.get("self"))
        if found is not None:
            return found
    return None


def _socket_of(owner: object) -> socket.socket | None:
    """Return the socket of a connection, or of the stream of an answer's body."""
    connection = getattr(owner, "_connection", owner)
    stream = getattr(connection, "_network_stream", None)
    found = stream.get_extra_info("socket") if stream is not None else None
    return found if isinstance(found, socket.socket) else None


def _sum(seconds: Iterable[float | None]) -> float | None:
    total = 0.0
    for one in seconds:
        if one is None:
            return None
        total += one
    return total
