"""Exchanges requests for answers in one event loop, over connections of aiohttp.

aiohttp makes connections and keeps them, through proxies and TLS, and reads answers (`connector`). Requests are written
here, because its `ClientSession` takes as long for one as all the rest: it makes some thirty objects for what never
changes here, and looks for cookies, redirects and credentials.

Rules of this module:

- Every phase of an exchange ends within its timeout. aiohttp bounds the connecting (lookup, proxy and TLS included).
  `Phases` bounds all that follows.
- No cookies, no redirects, no decompression, no `.netrc`, no proxies but ours. A GET (for the router's key) is sent
  once more if its connection turns out to be closed; a POST never is.
- An aborted upload leaves no socket behind. An orderly close would first send what lies in the connection's buffer,
  and a peer that stopped reading never takes it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import StreamWriter
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from multidict import CIMultiDict
from yarl import URL

from ...errors import ConfigurationError
from ..effects import NetworkFailure, Request, Response, Timeouts
from ..settings import Settings
from .body import NO_WHOLE_ANSWER, Body, HeadError, OversizedHeadError
from .connector import AnswerProtocol, Connector
from .environment import Proxy, proxy_for
from .failures import (
    CLOSED,
    FAILURES,
    NoTunnelError,
    answer_by,
    away,
    chain_of,
    failure_by,
    failure_of,
    refused_by,
    unreadable,
    untunnelled,
)
from .head import CONSTANT_HEADERS, head_start, whole_head
from .phases import Deadlines, Phases
from .upload import PIECE_BYTES

WHOLE_BYTES = 32 * 1024
"""A body of this size goes out at once: with its headers it stays below 64 KiB, asyncio's high-water mark, so that
writing it never waits."""

ERRORS = (aiohttp.ClientError,)
"""What aiohttp raises; it may also run below a client of httpx that the caller brought."""


class Session:
    """Exchanges requests for responses in the loop that it was made in."""

    def __init__(self, settings: Settings, context: ssl.SSLContext) -> None:
        """Make no connection yet.

        Raises:
            ConfigurationError: The environment names a proxy that cannot be used.
        """
        self._timeouts = settings.timeouts
        self._bounds = _bounds_of_aiohttp(self._timeouts)
        self._proxy = proxy_for(settings.base_url)
        self._connector = Connector(context, direct=self._proxy is None)
        self._deadlines = Deadlines()
        self._addresses: dict[tuple[str, str], _Address] = {}
        self._uploads: set[AnswerProtocol] = set()

    async def exchange(self, request: Request) -> Response | NetworkFailure:
        """Exchange one request for its response."""
        if self._connector.closed:
            return CLOSED
        phases = Phases(request.timeouts or self._timeouts, self._deadlines)
        try:
            response = await self._bounded(request, phases)
            return answer_by(self._proxy, response)
        except (*ERRORS, *FAILURES, NoTunnelError) as error:
            failed = _of_proxy(self._proxy, error) or phases.named(failure_in(error) or failure_of(error))
            outcome = CLOSED if failed.timed_out and self._connector.closed else failed
        except ConfigurationError as error:  # of the lookup
            outcome = NetworkFailure(str(error), connected=False, lasting=True)
        except (asyncio.CancelledError, RuntimeError):
            if not self._is_closed() or _is_cancelled():
                raise
            outcome = CLOSED  # a closed pool cancels requests that wait for a lookup, or ends their connection
        return outcome

    async def aclose(self) -> None:
        """Close all connections, also those of requests under way. Idempotent."""
        for protocol in list(self._uploads):
            _abort(protocol)
        await self._connector.close()
        self._deadlines.end_all()  # aiohttp does not tell those who wait for the rest of a body

    async def _bounded(self, request: Request, phases: Phases) -> Response:
        watched = self._deadlines.watched
        async with phases.bound:
            watched.add(phases)
            try:
                return await self._answer(request, phases)
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                if request.body or isinstance(error, aiohttp.ClientConnectorError) or self._is_closed():
                    raise
                return await self._answer(request, phases)
            finally:
                watched.discard(phases)

    async def _answer(self, request: Request, phases: Phases) -> Response:
        phases.begin_connecting()
        address = self._address_of(request)
        connection = await self._connected(address, phases.timeouts)
        try:
            protocol = _begun(connection)
            head = whole_head(address.start, request.headers, size_bytes := len(request.body))
            if size_bytes <= WHOLE_BYTES:
                _write(protocol, head + request.body)
                phases.begin_answer()
                response = await _read(request, protocol, address, phases)
            else:
                response = await self._uploaded(request, head, protocol, address, phases)
        except BaseException:
            with suppress(RuntimeError):  # its loop was closed
                connection.close()
            raise
        protocol.rest()
        connection.release()  # it is used again if the answer was read to its end, and is one answer
        return response

    async def _uploaded(
        self, request: Request, head: bytes, protocol: AnswerProtocol, address: _Address, phases: Phases
    ) -> Response:
        """Send a large body while waiting for the answer, which may come before the body is out."""
        _write(protocol, head)
        self._uploads.add(protocol)
        upload = asyncio.create_task(_write_pieces(protocol, request.body, phases))
        try:
            return await _read(request, protocol, address, phases)
        finally:
            self._uploads.discard(protocol)
            if not upload.done():
                protocol.force_close()
                with suppress(RuntimeError):  # its loop was closed
                    upload.cancel()
                _abort(protocol)

    def _is_closed(self) -> bool:
        return self._connector.closed

    def _address_of(self, request: Request) -> _Address:
        address = self._addresses.get((request.method, request.url))
        if address is None:
            address = _Address(request.method, URL(request.url), self._proxy)
            self._addresses[request.method, request.url] = address
        return address

    async def _connected(self, address: _Address, timeouts: Timeouts) -> Connection:
        bounds = self._bounds if timeouts is self._timeouts else _bounds_of_aiohttp(timeouts)
        try:
            return await self._connector.connect(address.request, [], bounds)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError from error
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, HeadError) as error:
            # Nothing but the answer to CONNECT is read while connecting.
            raise NoTunnelError(closed=not isinstance(error, HeadError)) from error


class _Address:
    """Where requests of one kind go, and what their heads begin with; made once.

    Args:
        method: Theirs.
        url: Theirs.
        proxy: The proxy on the way.
    """

    def __init__(self, method: str, url: URL, proxy: Proxy | None) -> None:
        loop = asyncio.get_running_loop()
        tunnels = proxy is not None and proxy.tunnels
        if proxy is None:
            self.request = aiohttp.ClientRequest(method, url, loop=loop)
        else:
            headers = CIMultiDict({**CONSTANT_HEADERS, **proxy.headers} if tunnels else {})
            self.request = aiohttp.ClientRequest(method, url, loop=loop, proxy=URL(proxy.url), proxy_headers=headers)
            # aiohttp adds it with the first connection: later requests would look for one of other headers.
            headers[aiohttp.hdrs.HOST] = self.request.headers[aiohttp.hdrs.HOST]
        host = self.request.headers[aiohttp.hdrs.HOST]
        is_direct = proxy is None or tunnels
        target = url.raw_path_qs if is_direct else str(url)
        self.start = head_start(method, target, host, {} if is_direct or proxy is None else proxy.headers)


def _bounds_of_aiohttp(timeouts: Timeouts) -> aiohttp.ClientTimeout:
    """Return what bounds the connecting alone."""
    return aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s, sock_connect=None, sock_read=None)


def _begun(connection: Connection) -> AnswerProtocol:
    """Have a connection read the answer to the request that follows."""
    protocol = connection.protocol
    assert isinstance(protocol, AnswerProtocol)
    protocol.set_response_params(read_until_eof=True, auto_decompress=False)
    return protocol


def _write(protocol: AnswerProtocol, data: bytes) -> None:
    """Write to a connection without waiting.

    Raises:
        ServerDisconnectedError: It was closed.
    """
    transport = protocol.transport
    if transport is None or transport.is_closing():
        raise aiohttp.ServerDisconnectedError
    transport.write(data)


def _abort(protocol: AnswerProtocol) -> None:
    """Close a connection without sending what lies in its buffer, unless it has ended already.

    asyncio's `abort` fails on a connection that was closed before its buffer was empty, and has ended since.
    """
    transport = protocol.transport
    if transport is not None:
        with suppress(RuntimeError):  # its loop was closed, and its socket with it
            transport.abort()


async def _write_pieces(protocol: AnswerProtocol, body: bytes, phases: Phases) -> None:
    """Write a large body in pieces, between which the event loop serves others; then the wait for the answer begins.

    If the connection ends meanwhile, whoever reads from it gets the error.
    """
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    whole = memoryview(body)
    with suppress(ConnectionError):
        for start in range(0, len(whole), PIECE_BYTES):
            phases.begin_upload_piece()
            await writer.write(whole[start : start + PIECE_BYTES])
            await writer.drain()
            await asyncio.sleep(0)
        phases.begin_answer()


async def _read(request: Request, protocol: AnswerProtocol, address: _Address, phases: Phases) -> Response:
    try:
        message, content = await protocol.final()
    except HttpProcessingError as error:
        raise aiohttp.ClientResponseError(address.request.request_info, (), status=error.code) from error
    phases.begin_answer()
    body = Body(request, message.code, message.raw_headers)
    if body.fault is None:
        while not content.at_eof():
            if not body.take(await content.readany()):
                break
        cut_short = content.exception()
        if cut_short is not None:
            raise cut_short
    return body.response()


_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError)


def failure_in(error: BaseException) -> NetworkFailure | None:
    """Return what failed, by an error of aiohttp or one that it caused; None if aiohttp raised none."""
    causes = list(chain_of(error))
    theirs = [cause for cause in causes if isinstance(cause, ERRORS)]
    if not theirs:
        return None
    if _is_oversized(causes):
        return NetworkFailure(OversizedHeadError.words)
    connected = not any(isinstance(one, _NOT_CONNECTED) for one in theirs)
    cause = next((one for one in causes if isinstance(one, OSError) and not isinstance(one, ERRORS)), None)
    if cause is None:
        timed_out = any(isinstance(one, TimeoutError) for one in causes)
        lost = NO_WHOLE_ANSWER if connected else f"the connection failed or was closed ({type(theirs[0]).__name__})"
        reason = "timed out" if timed_out else lost
        return NetworkFailure(reason, timed_out, connected, phase="answer" if timed_out else None)
    return failure_by(cause, connected=connected)


def _of_proxy(proxy: Proxy | None, error: BaseException) -> NetworkFailure | None:
    """Return what failed if it is the proxy; None if it is not.

    With a proxy, a failed lookup is the proxy's: we look up no other name.
    """
    if proxy is None:
        return None
    if isinstance(error, NoTunnelError):
        return untunnelled(proxy, error)
    causes = list(chain_of(error))
    for cause in causes:
        if isinstance(cause, aiohttp.ClientHttpProxyError):
            return refused_by(proxy, cause.status)
        if isinstance(cause, aiohttp.ClientResponseError) and cause.request_info.method == aiohttp.hdrs.METH_CONNECT:
            return unreadable(proxy)
    is_away = any(isinstance(one, _PROXY_AWAY) or _is_tls_with(proxy, one) for one in causes)
    failure = failure_in(error)
    if not is_away or failure is None or failure.timed_out:
        return None
    return away(proxy, failure)


_PROXY_AWAY = (aiohttp.ClientProxyConnectionError, aiohttp.ClientConnectorDNSError)
_TLS_FAILED = (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError)


def _is_tls_with(proxy: Proxy, error: BaseException) -> bool:
    """Return whether TLS failed with the proxy itself, and not with the router through its tunnel."""
    return isinstance(error, _TLS_FAILED) and (error.host, error.port) == (proxy.host, proxy.port)


def _is_oversized(causes: Sequence[BaseException]) -> bool:
    refused = [cause for cause in causes if isinstance(cause, BadHttpMessage)]
    return any(isinstance(one, LineTooLong) or "Too many headers" in one.message for one in refused)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
