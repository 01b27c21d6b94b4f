"""Sockets for the sync client, each of whose waits ends.

Rules:

- A connection takes no longer than its timeout as a whole: lookup, connect over all addresses, the proxy's answer to
  CONNECT and each TLS handshake. So do the head of an answer, its body, and each 64 KiB of an upload.
- While we wait to send, we also listen: a final answer that comes early ends the sending, because the server may read
  no more of the request.
- An OSError that the caller's own signal handler raises while we wait goes through to the caller. We tell a
  `TimeoutError` from our own by the time that has passed.
- If such an exception comes between two instructions, nobody may hold a socket any more: it closes itself.
"""

from __future__ import annotations

import errno
import ipaddress
import math
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Final

import httpcore

from ..._system_errors import is_of_the_system
from .body import INTERIM_LIMIT, TooManyInterimsError
from .connection_options import limit_unsent
from .environment import Proxy
from .framing import ResponseFraming, has_final_response_begun
from .lookup import Address, look_up
from .sync_channels import CLOCK_STEP_S, AnsweredEarlyError, Channel, Plain, Tls, TooLateError, due_in, timed
from .upload import PIECE_BYTES

_IPV4: Final = 4


class ProxyConnectError(httpcore.ConnectError):
    """There was no connection to the proxy itself."""


class Sockets(httpcore.NetworkBackend):
    """Makes the connections of one router, or of the proxy before it.

    Args:
        proxy: None if there is none.
    """

    def __init__(self, proxy: Proxy | None) -> None:
        self._tunnels = proxy is not None and proxy.tunnels
        self._failures: list[type[httpcore.ConnectError]] = [httpcore.ConnectError]
        if proxy is not None:
            self._failures = [ProxyConnectError, *self._failures]
        self._tls_failures = self._failures if proxy is not None and proxy.has_tls else [httpcore.ConnectError]

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: object = None,
    ) -> SocketStream:
        """Connect to the first address of a host that takes a connection.

        Raises:
            httpcore.ConnectError: There is no such host, or none of its addresses takes one.
            httpcore.ConnectTimeout: That took too long.
        """
        due = due_in(timeout)
        with _raised_as(httpcore.ConnectTimeout, self._failures[0]):
            channel = Plain(_connected(_addresses_of(_bare(host), port, due), due))
        return SocketStream(channel, self._tls_failures, due, awaits_tunnel=self._tunnels)


class SocketStream(httpcore.NetworkStream):
    """A connection: TCP, or TLS over another.

    Args:
        channel: What it runs over.
        tls_failures: The exceptions for the failures of the handshakes to come, one each.
        connect_due: When the connecting must be over.
        awaits_tunnel: Whether the next answer is the proxy's to CONNECT, which is part of the connecting.
    """

    def __init__(
        self,
        channel: Channel,
        tls_failures: list[type[httpcore.ConnectError]],
        connect_due: float,
        *,
        awaits_tunnel: bool,
    ) -> None:
        self._channel = channel
        self._tls_failures = tls_failures
        self._connect_due = connect_due
        self._awaits_tunnel = awaits_tunnel
        self._answer_due: float | None = None
        self._early = b""
        self._framing = ResponseFraming()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> SocketStream:
        """Return the same connection with TLS on top.

        Raises:
            httpcore.ConnectError: The other side does not speak it, or its certificate is not believed.
            httpcore.ConnectTimeout: That took too long.
            httpcore.ProxyError: The proxy answered CONNECT with another success than 200, which is no tunnel for the
                async twin either.
        """
        status = self._framing.status
        if status.startswith(b"2") and status != b"200":
            self.close()
            raise httpcore.ProxyError(status.decode("ascii"))
        failure, *further = self._tls_failures
        try:
            with _raised_as(httpcore.ConnectTimeout, failure):
                due = min(due_in(timeout), self._connect_due)
                channel = Tls(self._channel, ssl_context, _bare(server_hostname or ""), due)
        except BaseException:
            self.close()
            raise
        return SocketStream(channel, further, self._connect_due, awaits_tunnel=self._awaits_tunnel and not status)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return what comes next; empty at the end.

        Raises:
            httpcore.ReadTimeout, httpcore.ReadError: Nothing came; or the end, instead of an answer to CONNECT.
            httpcore.ConnectTimeout: The proxy's answer to CONNECT took too long.
            TooManyInterimsError: Interim answers come without an end.
        """
        if self._answer_due is None:
            self._answer_due = self._connect_due if self._awaits_tunnel else due_in(timeout)
        late = httpcore.ConnectTimeout if self._awaits_tunnel else httpcore.ReadTimeout
        if self._early:
            piece, self._early = self._early[:max_bytes], self._early[max_bytes:]
        else:
            with _raised_as(late, httpcore.ReadError):
                piece = self._channel.receive(max_bytes, min(due_in(timeout), self._answer_due))
        if self._awaits_tunnel and not piece:
            raise httpcore.ReadError("the proxy closed the connection")
        self._framing.add(piece)
        if self._framing.interims > INTERIM_LIMIT:
            raise TooManyInterimsError
        return piece

    def head_came(self) -> None:
        """Give the body the time that the head had."""
        self._answer_due = None

    def gave_only(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether one answer with these headers came since the request was sent, and not a byte more."""
        return not self._early and self._framing.is_one_response(status, headers)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send all of it.

        Raises:
            httpcore.WriteTimeout, httpcore.WriteError: The other side takes no more, or has answered already; httpcore
                reads the answer after a `WriteError`.
        """
        self._answer_due = None
        self._framing = ResponseFraming()
        with _raised_as(httpcore.WriteTimeout, httpcore.WriteError), memoryview(buffer) as view:
            for start in range(0, len(view), PIECE_BYTES):
                self._channel.send(view[start : start + PIECE_BYTES], due_in(timeout), self._is_answered)

    def get_extra_info(self, info: str) -> Any:
        """Answer httpcore's question whether bytes, or the end, came on an idle connection: it should have neither."""
        return self._channel.has_something() if info == "is_readable" else None

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self._channel.close()

    def _is_answered(self) -> bool:
        """Take what came while we wait to send; return whether it is the final answer, or the end."""
        while (piece := self._channel.take()) is not None:
            self._early += piece
            if not piece or has_final_response_begun(self._early):
                return True
        return False


class _Socket(socket.socket):
    """A socket that closes itself without a warning if an exception came before anybody held it.

    `__del__` is a function in C. If it were written in Python, and a signal's handler ran in it, Python would swallow
    the handler's exception.
    """

    __slots__ = ()
    __del__ = socket.SocketType.close


def _bare(host: str) -> str:
    """Return a host without the brackets that IPv6 has in addresses of HTTP (RFC 3986, section 3.2.2)."""
    return host.removeprefix("[").removesuffix("]")


def _addresses_of(host: str, port: int, due: float) -> list[Address]:
    with suppress(ValueError):  # an address needs no lookup
        version = ipaddress.ip_address(host).version
        family = socket.AF_INET if version == _IPV4 else socket.AF_INET6
        return [(family, socket.IPPROTO_TCP, host, port)]
    left_s = due - time.monotonic()
    try:
        return look_up(host, port).result(None if left_s == math.inf else left_s)
    except TimeoutError as error:
        if error.errno is not None or time.monotonic() < due - CLOCK_STEP_S:
            raise
    raise TooLateError


def _connected(addresses: list[Address], due: float) -> socket.socket:
    """Return a connected socket; each address gets an equal share of the time that is left."""
    failure = OSError(errno.EADDRNOTAVAIL, "the host has no address")
    for tried, address in enumerate(addresses):
        now = time.monotonic()
        share_due = now + (due - now) / (len(addresses) - tried)
        is_last = tried == len(addresses) - 1
        try:
            return _connected_to(address, share_due)
        except TooLateError:
            if is_last:
                raise
        except OSError as error:
            failure = _not_the_callers(error)
    raise failure


def _connected_to(address: Address, due: float) -> socket.socket:
    family, protocol, host, port = address
    made = _Socket(family, socket.SOCK_STREAM, protocol)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit_unsent(made)
        timed(made, due, partial(made.connect, (host, port)))
    except BaseException:
        made.close()
        raise
    return made


@contextmanager
def _raised_as(timeout: type[Exception], failure: type[Exception]) -> Iterator[None]:
    """Translate timeouts and failures into exceptions that httpcore knows."""
    try:
        yield
    except TooLateError as error:
        raise timeout("timed out") from error
    except OSError as error:
        raise failure(str(error)) from _not_the_callers(error)
    except (AnsweredEarlyError, UnicodeError) as error:
        raise failure(str(error)) from error


def _not_the_callers(error: OSError) -> OSError:
    if not is_of_the_system(error):
        raise error
    return error
