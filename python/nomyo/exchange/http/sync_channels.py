"""What a connection of the sync client runs over: a socket, TLS over a socket, or TLS over TLS; each wait ends.

A `TimeoutError` that the caller's own signal handler raises while we wait goes through to the caller. We tell it from
our own by the time that has passed.
"""

from __future__ import annotations

import math
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final, Protocol, TypeVar

from ..._system_errors import is_of_the_system

T = TypeVar("T")
_RECEIVED_BYTES: Final = 64 * 1024
"""At once, at most."""
CLOCK_STEP_S: Final = 0.005 + time.get_clock_info("monotonic").resolution
"""How much earlier than asked for a wait may seem to end. On Windows, Python's clock went by 15.6 ms until 3.13."""
_RECORD_BYTES: Final = 16 * 1024 + 512
"""A TLS record with what surrounds it (RFC 8446, section 5.2)."""
_MOST_EMPTY_TAKES: Final = 16
"""How many received pieces may hold no content before the sender looks at the clock again: a server may send session
tickets without end."""
_Selector: Final = getattr(selectors, "PollSelector", selectors.SelectSelector)


class TooLateError(Exception):
    """A wait took longer than it may."""


class AnsweredEarlyError(Exception):
    """The answer came before the request was sent."""


class Channel(Protocol):
    """A connection below HTTP."""

    def receive(self, limit_bytes: int, due: float) -> bytes:
        """Return what comes next, by a time; empty at the end."""

    def take(self) -> bytes | None:
        """Return what is there, without waiting; empty at the end, None where nothing is."""

    def send(self, content: memoryview | bytes, due: float, is_answered: Callable[[], bool] | None = None) -> None:
        """Send all of it by a time, or until something comes that is an answer.

        Args:
            is_answered: Takes what came, and says whether it is an answer; None to listen to nothing while sending.
        """

    def has_something(self) -> bool:
        """Return whether something came, or the end."""

    def close(self) -> None:
        """Close the socket."""


class Plain:
    """A socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def receive(self, limit_bytes: int, due: float) -> bytes:
        """Return what comes next, by a time; empty at the end."""
        return timed(self._socket, due, partial(self._socket.recv, limit_bytes))

    def take(self) -> bytes | None:
        """Return what is there, without waiting; empty at the end, None where nothing is."""
        self._socket.settimeout(0)
        try:
            return self._socket.recv(_RECEIVED_BYTES)
        except BlockingIOError:
            return None

    def send(self, content: memoryview | bytes, due: float, is_answered: Callable[[], bool] | None = None) -> None:
        """Send all of it by a time, or until something comes that is an answer."""
        view = memoryview(content)
        while view:
            view = view[self._sent(view, due, is_answered) :]

    def _sent(self, view: memoryview, due: float, is_answered: Callable[[], bool] | None) -> int:
        while True:
            self._socket.settimeout(0)
            with suppress(BlockingIOError):
                return self._socket.send(view)
            events = selectors.EVENT_WRITE | (selectors.EVENT_READ if is_answered else 0)
            if _awaited(self._socket, due, events) & selectors.EVENT_READ and is_answered and is_answered():
                raise AnsweredEarlyError

    def has_something(self) -> bool:
        """Return whether something came, or the end."""
        self._socket.settimeout(0)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError as error:
            if not is_of_the_system(error):
                raise
        return True

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


class Tls:
    """TLS over a socket, or over TLS: Python's own `SSLSocket` cannot be had over another one."""

    def __init__(self, below: Channel, context: ssl.SSLContext, server_name: str | None, due: float) -> None:
        self._below = below
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_name)
        self._done(self._tls.do_handshake, due)

    def receive(self, limit_bytes: int, due: float) -> bytes:
        """Return what comes next, by a time; empty at the end."""
        try:
            return self._done(partial(self._tls.read, limit_bytes), due)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""  # httpcore knows by the answer's length whether it is whole

    def take(self) -> bytes | None:
        """Return what is there, without waiting; empty at the end, None where nothing is, or nothing but TLS's own."""
        for _ in range(_MOST_EMPTY_TAKES):
            try:
                return self._tls.read(_RECEIVED_BYTES)
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""
            except ssl.SSLWantReadError:  # only part of a record came so far, or a session ticket
                received = self._below.take()
            if received is None:
                return None
            self._put(received)
        return None

    def send(self, content: memoryview | bytes, due: float, is_answered: Callable[[], bool] | None = None) -> None:
        """Send all of it by a time, or until something comes that is an answer."""
        view = memoryview(content)
        while view:
            view = view[self._done(partial(self._tls.write, view), due, is_answered) :]

    def has_something(self) -> bool:
        """Return whether data or the end has come. TLS's own messages, such as session tickets, do not count."""
        if not (self._tls.pending() or self._incoming.pending or self._below.has_something()):
            return False
        try:
            return self.take() is not None
        except OSError as error:
            if not is_of_the_system(error):
                raise
        return True

    def close(self) -> None:
        """Close the socket."""
        self._below.close()

    def _done(self, step: Callable[[], T], due: float, is_answered: Callable[[], bool] | None = None) -> T:
        """Run a step of TLS, send and receive what it wants, and return its result."""
        while True:
            wants_more = False
            try:
                outcome = step()
            except ssl.SSLWantReadError:
                wants_more = True
            self._flush(due, is_answered)
            if not wants_more:
                return outcome
            self._put(self._below.receive(_RECORD_BYTES, due))

    def _put(self, received: bytes) -> None:
        if received:
            self._incoming.write(received)
        else:
            self._incoming.write_eof()

    def _flush(self, due: float, is_answered: Callable[[], bool] | None) -> None:
        if self._outgoing.pending:
            self._below.send(self._outgoing.read(), max(due, time.monotonic() + CLOCK_STEP_S), is_answered)


def due_in(timeout_s: float | None) -> float:
    """Return when a wait that begins now must end, by `time.monotonic`."""
    return math.inf if timeout_s is None else time.monotonic() + timeout_s


def timed(waiting: socket.socket, due: float, call: Callable[[], T]) -> T:
    """Return what a call on a socket returns, if it returns in time.

    Raises:
        TooLateError: It did not.
        OSError: The call failed.
        TimeoutError: Without an `errno`, the caller's own; with one, the system gave up.
    """
    left_s = due - time.monotonic()
    if left_s <= 0:
        raise TooLateError
    waiting.settimeout(None if left_s == math.inf else left_s)
    try:
        return call()
    except TimeoutError as error:
        if error.errno is not None or time.monotonic() < due - CLOCK_STEP_S:
            raise
    raise TooLateError


def _awaited(waiting: socket.socket, due: float, events: int) -> int:
    """Wait for events of a socket, and return those that came.

    Raises:
        TooLateError: None came in time.
    """
    left_s = due - time.monotonic()
    if left_s <= 0:
        raise TooLateError
    with _Selector() as selector:
        selector.register(waiting, events)
        ready = selector.select(None if left_s == math.inf else left_s)
    if not ready:
        raise TooLateError
    return ready[0][1]
