"""The connections of one event loop, by aiohttp. No other module names aiohttp.

Rules of this module:

- Every phase of an exchange ends within its timeout. aiohttp bounds the connecting (lookup, proxy and TLS included).
  `_Phases` bounds all that follows, because aiohttp bounds neither the writing of a body nor a head that comes byte by
  byte.
- What aiohttp does by itself is off: cookies, redirects, decompression, `.netrc`, proxies of the environment. One thing
  stays on: it sends a GET (for the router's key) once more if a kept connection turns out to be closed.
- An aborted exchange leaves no socket behind. An orderly close would first send what lies in the connection's buffer,
  and a peer that stopped reading never takes it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, AbstractStreamWriter, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong

from ...errors import ConfigurationError
from ..effects import NetworkFailure, Phase, Request, Response, Timeouts
from ..settings import Settings
from .body import HEAD_LIMIT_BYTES, INTERIM_LIMIT, NO_WHOLE_ANSWER, Body, OversizedHeadError, TooManyInterimsError
from .connection_options import KEPT_ALIVE_S, limit_unsent, user_agent
from .environment import Proxy, proxy_for
from .failures import CLOSED, FAILURES, answer_by, away, chain_of, failure_by, failure_of, refused_by, unreadable
from .lookup import look_up
from .upload import PIECE_BYTES

WHOLE_BYTES = 32 * 1024
"""A body of this size goes out at once: with its headers it stays below 64 KiB, asyncio's high-water mark, so that
writing it never waits."""

ERRORS = (aiohttp.ClientError,)
"""What aiohttp raises; it may also run below a client of httpx that the caller brought."""

# Those of httpx, so that the headers do not tell the twins apart.
_HEADERS = {"Accept": "*/*", "User-Agent": user_agent()}
# Both twins bound an answer's head by `HEAD_LIMIT_BYTES`: aiohttp must not refuse a line sooner.
_LINE_LIMITS = {"max_line_size": HEAD_LIMIT_BYTES, "max_field_size": HEAD_LIMIT_BYTES}


class Session:
    """Exchanges requests for responses in the loop that it was made in."""

    def __init__(self, settings: Settings, context: ssl.SSLContext) -> None:
        """Make no connection yet.

        Raises:
            ConfigurationError: The environment names a proxy that cannot be used.
        """
        self._timeouts = settings.timeouts
        self._proxy = proxy_for(settings.base_url)
        self._proxy_options = _proxy_options(self._proxy)
        self._plain_headers = self._proxy_options.pop("plain_headers", {})
        self._uploads: set[_Upload] = set()
        self._aiohttp = aiohttp.ClientSession(
            connector=_Connector(context),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers=_HEADERS,
            auto_decompress=False,
            trust_env=False,
            trace_configs=[_headers_traced()],
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, sock_read=None),
            max_line_size=HEAD_LIMIT_BYTES,
            max_field_size=HEAD_LIMIT_BYTES,
        )

    async def exchange(self, request: Request) -> Response | NetworkFailure:
        """Exchange one request for its response."""
        phases = _Phases(request.timeouts or self._timeouts)
        try:
            response = await self._exchange(request, phases)
            return answer_by(self._proxy, response)
        except (*ERRORS, *FAILURES) as error:
            outcome = _of_proxy(self._proxy, error) or phases.named(failure_in(error) or failure_of(error))
        except ConfigurationError as error:  # of the lookup
            outcome = NetworkFailure(str(error), connected=False, lasting=True)
        except (asyncio.CancelledError, RuntimeError):
            if not self._aiohttp.closed or _is_cancelled():
                raise
            outcome = CLOSED  # a closed aiohttp cancels requests that wait for a lookup, and refuses later ones
        return outcome

    async def aclose(self) -> None:
        """Close all connections, also those of requests under way. Idempotent."""
        for upload in list(self._uploads):
            upload.abort()
        await self._aiohttp.close()

    async def _exchange(self, request: Request, phases: _Phases) -> Response:
        async with phases.bound:
            phases.begin_connecting()
            upload = _Upload(request.body, phases) if request.body else None
            if upload is None or upload.is_small:
                return await self._answer(request, upload, phases)
            self._uploads.add(upload)
            try:
                return await self._answer(request, upload, phases)
            finally:
                self._uploads.discard(upload)

    async def _answer(self, request: Request, upload: _Upload | None, phases: _Phases) -> Response:
        response = await self._aiohttp.request(
            request.method,
            request.url,
            headers={**request.headers, **self._plain_headers},
            data=upload,
            allow_redirects=False,
            timeout=_bounds_of_aiohttp(phases.timeouts, upload),
            trace_request_ctx=phases if upload is None else None,
            **self._proxy_options,
        )
        try:
            phases.begin_answer()
            body = Body(request, response.status, response.raw_headers)
            if body.fault is None:
                await _read(body, response)
        finally:
            response.close()  # if the response was read to its end, its connection is back in the pool already
        return body.response()


class _Phases:
    """Bounds each phase of an exchange by itself.

    Args:
        timeouts: How long each phase may take.
    """

    def __init__(self, timeouts: Timeouts) -> None:
        self.timeouts = timeouts
        self.bound = asyncio.timeout(None)
        self._now: Phase = "answer"

    def named(self, failure: NetworkFailure) -> NetworkFailure:
        """Add to a failure the phase in which our own timeout ended it."""
        return replace(failure, phase=failure.phase and self._now)

    def begin_connecting(self) -> None:
        """Bound what comes before a body: aiohttp bounds the connecting by itself, and nothing the wait after it."""
        connect_s, read_s = self.timeouts.connect_s, self.timeouts.read_s
        self._begin("answer", None if connect_s is None or read_s is None else connect_s + read_s)

    def begin_upload_piece(self) -> None:
        """Bound the sending of the next 64 KiB of a body."""
        self._begin("upload", self.timeouts.write_s)

    def begin_answer(self) -> None:
        """Bound the wait for the answer's headers, or for its body."""
        self._begin("answer", self.timeouts.read_s)

    def _begin(self, phase: Phase, allowed_s: float | None) -> None:
        if self.bound.expired():
            return
        self._now = phase
        self.bound.reschedule(None if allowed_s is None else asyncio.get_running_loop().time() + allowed_s)


class _Upload(aiohttp.Payload):
    """A request's body; each 64 KiB of it may take `write_s`."""

    _value: bytes
    _autoclose = True

    def __init__(self, body: bytes, phases: _Phases) -> None:
        super().__init__(body)
        self._size = len(body)
        self._phases = phases
        self._transport: asyncio.WriteTransport | None = None

    @property
    def is_small(self) -> bool:
        """Whether the body goes out at once."""
        return len(self._value) <= WHOLE_BYTES

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Refuse to give the body as text: aiohttp offers this, and nobody needs it."""
        raise TypeError("a sealed body is no text")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body; then the wait for the answer begins."""
        if self.is_small:
            await writer.write(self._value)
        else:
            await self._write_pieces(writer)
        self._phases.begin_answer()

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Do what `write` does: the announced length is the body's own."""
        await self.write(writer)

    def abort(self) -> None:
        """Close the connection without sending the rest."""
        if self._transport is not None:
            with suppress(RuntimeError):  # its loop was closed, and its socket with it
                self._transport.abort()

    async def _write_pieces(self, writer: AbstractStreamWriter) -> None:
        """Write a large body in pieces, between which the event loop serves others."""
        self._transport = writer.transport
        whole = memoryview(self._value)
        try:
            for start in range(0, len(whole), PIECE_BYTES):
                self._phases.begin_upload_piece()
                await writer.write(whole[start : start + PIECE_BYTES])
                await writer.drain()
                await asyncio.sleep(0)
        except BaseException:
            self.abort()
            raise


def _headers_traced() -> aiohttp.TraceConfig:
    """Have the wait for an answer begin when the headers of a request without a body are out.

    The `trace_request_ctx` of such a request is its `_Phases`. If there is a body, its end begins the wait.
    """

    async def headers_sent(_session: aiohttp.ClientSession, context: Any, _sent: object) -> None:
        phases: _Phases | None = context.trace_request_ctx
        if phases is not None:
            phases.begin_answer()

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(headers_sent)
    return config


class _Connector(aiohttp.TCPConnector):
    """The pool of connections; slots bound their number, so that no request waits for one here.

    If a program drops the pool together with its loop, the pool gives no warning: Python warns of the loop already.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(
            ssl=context,
            limit=0,
            keepalive_timeout=KEPT_ALIVE_S,
            resolver=_Resolver(),
            socket_factory=_socket,
        )
        self._factory = partial(_protocol, self._loop)

    @property
    def closed(self) -> bool:
        """Whether the pool can no longer be used: it was closed, or its loop does not run."""
        return super().closed or not self._loop.is_running()

    def __del__(self, *_: object) -> None:
        """Leave the sockets to their own finalizers: without its loop, nothing can be closed in order."""


class _Protocol(ResponseHandler):
    """Reads answers within bounds: so many interim ones; a proxy's answer to CONNECT as large as one of the router."""

    _interims = 0

    def set_response_params(self, **params: Any) -> None:
        """Begin to read an answer; for one to CONNECT, aiohttp passes no bounds, and lines would end at 8 KiB."""
        super().set_response_params(**{**_LINE_LIMITS, **params})

    async def read(self) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
        """Return the next answer, final or interim.

        Raises:
            TooManyInterimsError: More interim answers came than servers send.
        """
        message, content = await super().read()
        is_interim = 100 <= message.code < 200 and message.code != HTTPStatus.SWITCHING_PROTOCOLS
        self._interims = self._interims + 1 if is_interim else 0
        if self._interims > INTERIM_LIMIT:
            raise TooManyInterimsError
        return message, content


def _protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return _Protocol(loop)


class _Resolver(AbstractResolver):
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        addresses = await asyncio.wrap_future(look_up(host, port, family))
        return [
            ResolveResult(hostname=host, host=at, port=at_port, family=kind, proto=protocol, flags=_NUMERIC)
            for kind, protocol, at, at_port in addresses
        ]

    async def close(self) -> None:
        pass


_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV


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


async def _read(body: Body, response: aiohttp.ClientResponse) -> None:
    async for chunk in response.content.iter_any():
        if not body.take(chunk):
            return


def _is_oversized(causes: Sequence[BaseException]) -> bool:
    refused = [cause for cause in causes if isinstance(cause, BadHttpMessage)]
    return any(isinstance(one, LineTooLong) or "Too many headers" in one.message for one in refused)


def _bounds_of_aiohttp(timeouts: Timeouts, upload: _Upload | None) -> aiohttp.ClientTimeout:
    """Return the timeouts for aiohttp: of the connecting; for a request without a body, also of each read.

    With a body, `_Upload` knows when the wait for the answer begins.
    """
    read_s = timeouts.read_s if upload is None else None
    return aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s, sock_connect=None, sock_read=read_s)


def _proxy_options(proxy: Proxy | None) -> dict[str, Any]:
    """Return aiohttp's options for the proxy, and as `plain_headers` what requests without a tunnel carry for it."""
    if proxy is None:
        return {}
    headers = "proxy_headers" if proxy.tunnels else "plain_headers"
    return {"proxy": proxy.url, headers: dict(proxy.headers)}


def _socket(address: Any) -> socket.socket:
    """Make a socket whose kernel buffer holds little unsent, so that we notice a body that does not move."""
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    limit_unsent(made)
    return made


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
