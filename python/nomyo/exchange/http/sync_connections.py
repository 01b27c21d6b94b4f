"""Connections of the sync client, each used by one request at a time.

Requests share no lock and no count, only a deque, whose operations are atomic. So an exception that comes between two
instructions (Ctrl-C, an alarm, a task queue's limit) costs the connection of its own request and nothing else. Each
such exception would leave a lock of httpcore's pool locked, or a place in it taken, and later requests would wait for
ever. So we use httpcore's pool only to make connections, and httpcore to speak HTTP over them. How many connections
there are is bounded by slots (`exchange/slots.py`).
"""

from __future__ import annotations

import re
import ssl
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Final, NamedTuple

import httpcore

from ..effects import Request, Response, Timeouts
from ..settings import Settings
from .body import Body, HeadError
from .connection_options import KEPT_ALIVE_S, user_agent
from .environment import Proxy, proxy_for, ssl_context
from .failures import NoTunnelError, ProxyAwayError, ProxyRefusedError
from .httpx_request import headers_of
from .sync_socket import ProxyConnectError, Sockets, SocketStream

_SENT_WITH_ALL: Final = {"Accept": "*/*", "Connection": "keep-alive", "User-Agent": user_agent()}
_KNOWN: Final = (
    httpcore.ConnectTimeout,
    httpcore.ReadTimeout,
    httpcore.WriteTimeout,
    httpcore.ConnectError,
    httpcore.ReadError,
    httpcore.WriteError,
    httpcore.LocalProtocolError,
    httpcore.RemoteProtocolError,
)
_STATUS: Final = re.compile("[1-9][0-9]{2}")
_PORTS: Final = {"http": 80, "https": 443}
_BYTE: Final = "(?:[1-9]?[0-9]|1[0-9]{2}|2[0-4][0-9]|25[0-5])"
# A name whose last label has a letter, or an address of IPv4; a path without escapes and without `.` or `..` in it.
_PLAIN: Final = re.compile(
    r"(?P<scheme>https?)://"
    rf"(?P<host>(?:[A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]*[A-Za-z][A-Za-z0-9_-]*|{_BYTE}(?:\.{_BYTE}){{3}})"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]*)+)?"
)


class Connections:
    """Makes connections to one router, and keeps them for the next request.

    Raises:
        ConfigurationError: The environment names a proxy or certificates that cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        self.proxy = proxy_for(settings.base_url)
        context = ssl_context(settings)
        self._maker = httpcore.ConnectionPool(
            ssl_context=context,
            proxy=None if self.proxy is None else _as_httpcore(self.proxy, context),
            keepalive_expiry=KEPT_ALIVE_S,
            network_backend=Sockets(self.proxy),
        )
        self._idle: deque[tuple[float, httpcore.ConnectionInterface]] = deque()
        self._closed = False

    def exchange(self, request: Request, timeouts: Timeouts) -> Response:
        """Send a request, and return the response.

        Raises:
            Exception: There was none; `is_failure_of_ours` knows it.
        """
        url = _parsed(request.url)
        connection = self._idle_one()
        tunnel = _Tunnel() if connection is None and self.proxy is not None and self.proxy.tunnels else None
        connection = connection or self._maker.create_connection(url.whole.origin)
        try:
            with _proxy_told_apart(tunnel):
                response, is_all = _exchanged(connection, url, request, timeouts, tunnel)
        except BaseException:
            connection.close()
            raise
        if is_all:
            self._keep(connection)
        else:
            connection.close()
        return response

    def close(self) -> None:
        """Close what is idle; a connection in use is closed when its request ends. Idempotent."""
        self._closed = True
        self._close_unused_since(time.monotonic())

    def _idle_one(self) -> httpcore.ConnectionInterface | None:
        """Return the connection that was used last: it is the least likely to be closed by now."""
        self._close_unused_since(time.monotonic() - KEPT_ALIVE_S)
        while self._idle:
            try:
                _, connection = self._idle.pop()
            except IndexError:  # another thread was quicker
                return None
            if connection.is_available() and not connection.has_expired():
                return connection
            connection.close()
        return None

    def _keep(self, connection: httpcore.ConnectionInterface) -> None:
        if not connection.is_available():
            connection.close()
            return
        self._idle.append((time.monotonic(), connection))
        if self._closed:
            self.close()

    def _close_unused_since(self, moment: float) -> None:
        while self._idle:
            try:
                kept = self._idle.popleft()
            except IndexError:  # another thread was quicker
                return
            if kept[0] > moment:
                self._idle.appendleft(kept)
                return
            kept[1].close()


class _Tunnel:
    """Notes when a new connection has come through its proxy; called by httpcore as its extension `trace`."""

    is_open = False

    def __call__(self, event: str, _: object) -> None:
        self.is_open |= event == "proxy.start_tls.started"


def _exchanged(
    connection: httpcore.ConnectionInterface,
    url: _Url,
    request: Request,
    timeouts: Timeouts,
    tunnel: _Tunnel | None,
) -> tuple[Response, bool]:
    """Return the response, and whether no byte came behind it: the next request would take it for its answer."""
    head = connection.handle_request(
        httpcore.Request(
            request.method,
            url.whole,
            headers=_headers(url, request),
            content=request.body or None,
            extensions={
                "timeout": {"connect": timeouts.connect_s, "read": timeouts.read_s, "write": timeouts.write_s},
                "trace": tunnel,
            },
        )
    )
    try:
        body = Body(request, head.status, head.headers, timeouts.read_s)
        stream: SocketStream = head.extensions["network_stream"]
        stream.head_came()
        if body.fault is None:
            _read(body, head.iter_stream())
    finally:
        head.close()
    return body.response(), stream.gave_only(head.status, head.headers)


def _headers(url: _Url, request: Request) -> list[tuple[bytes, bytes]]:
    headers = {"Host": url.host_header, **_SENT_WITH_ALL, **headers_of(request)}
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def _read(body: Body, pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        if not body.take(piece):
            return


@contextmanager
def _proxy_told_apart(tunnel: _Tunnel | None) -> Iterator[None]:
    """Raise what a proxy did as an exception of its own, because httpcore gives the status of a refusal only in words.

    What fails before a tunnel is open is the proxy's: nothing of the request was sent.
    What `failures` does not know, such as httpcore's wait for a pool that we do not use, becomes a broken connection.
    """
    try:
        yield
    except ProxyConnectError as error:
        raise ProxyAwayError(str(error)) from error
    except httpcore.ProxyError as error:
        status = str(error).partition(" ")[0]
        refused = _STATUS.fullmatch(status)
        raise (ProxyRefusedError(int(status)) if refused else httpcore.ConnectError(str(error))) from error
    except (httpcore.ReadError, httpcore.RemoteProtocolError, HeadError) as error:
        if tunnel is None or tunnel.is_open:
            raise
        raise NoTunnelError(closed=isinstance(error, httpcore.ReadError)) from error
    except _KNOWN:
        raise
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError) as error:
        raise httpcore.NetworkError(str(error)) from error


def _as_httpcore(proxy: Proxy, context: ssl.SSLContext) -> httpcore.Proxy:
    headers = [(name.encode(), value.encode()) for name, value in proxy.headers.items()]
    return httpcore.Proxy(proxy.url, headers=headers, ssl_context=context if proxy.has_tls else None)


def _of_plain(scheme: str, host: str, port: str | None, path: str) -> _Url:
    number = None if port is None or int(port) == _PORTS[scheme] else int(port)
    whole = httpcore.URL(scheme=scheme.encode(), host=host.encode(), port=number, target=path.encode())
    return _Url(whole, host if number is None else f"{host}:{number}")


class _Url(NamedTuple):
    """An address in the forms that a request needs."""

    whole: httpcore.URL
    host_header: str


def prepare_for(address: str) -> None:
    """Import what reads a router's address: a fork while a request imports it would make the child wait for ever."""
    if _PLAIN.fullmatch(address) is None:
        import httpx  # noqa: F401


@lru_cache(maxsize=64)
def _parsed(address: str) -> _Url:
    """Return a router's address, or one below it, as httpx reads it.

    Only an address that httpx may change takes httpx: one with an IP address of version 6, with escapes, or with dots
    for a segment of its path.
    """
    plain = _PLAIN.fullmatch(address)
    if plain is not None:
        return _of_plain(plain["scheme"], plain["host"].lower(), plain["port"], plain["path"] or "/")
    import httpx

    url = httpx.URL(address)
    host = url.raw_host
    whole = httpcore.URL(
        scheme=url.raw_scheme,
        host=b"[%b]" % host if b":" in host else host,  # as CONNECT wants it; `Sockets` takes the brackets off
        port=url.port,
        target=url.raw_path,
    )
    return _Url(whole, url.netloc.decode("ascii"))
