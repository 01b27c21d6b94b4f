"""aiohttp's connections and what reads their answers. Beside `session`, no other module names aiohttp.

With the extra `speed`, aiofastnet makes the connections with TLS: each then takes a fifth of the memory, because
asyncio's TLS holds a buffer of 256 KiB for it.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from copy import copy
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.helpers import set_exception
from aiohttp.http import RawResponseMessage

from ..._speed import tls_connector
from .body import HEAD_LIMIT_BYTES, INTERIM_LIMIT, TooManyInterimsError
from .connection_options import KEPT_ALIVE_S, has_something, limit_unsent
from .lookup import look_up

# Both twins bound an answer's head by `HEAD_LIMIT_BYTES`: aiohttp must not refuse a line sooner.
_LINE_LIMITS: Final[dict[str, Any]] = {"max_line_size": HEAD_LIMIT_BYTES, "max_field_size": HEAD_LIMIT_BYTES}
_FIRST_FINAL: Final = 200
_SWITCHING_PROTOCOLS: Final = int(HTTPStatus.SWITCHING_PROTOCOLS)
_FAST_TLS: Final = tls_connector()
_PROACTOR: Final = getattr(asyncio, "ProactorEventLoop", ())


class Connector(aiohttp.TCPConnector):
    """The pool of connections; slots bound their number, so that no request waits for one here.

    If a program drops the pool together with its loop, the pool gives no warning: Python warns of the loop already.
    """

    def __init__(self, context: ssl.SSLContext, *, direct: bool) -> None:
        """Make no connection yet.

        Args:
            context: For TLS.
            direct: Whether there is no proxy. TLS that begins within a connection, as in a tunnel, is asyncio's.
        """
        super().__init__(
            ssl=context,
            limit=0,
            keepalive_timeout=KEPT_ALIVE_S,
            resolver=_Resolver(),
            socket_factory=_socket,
        )
        self._factory = partial(_new_protocol, self._loop)
        self._fast = _fast_twin(self, _FAST_TLS) if direct and _FAST_TLS is not None else None

    @property
    def closed(self) -> bool:
        """Whether the pool can no longer be used: it was closed, or its loop does not run."""
        return super().closed or not self._loop.is_running()

    async def _wrap_create_connection(self, *args: Any, **options: Any) -> tuple[asyncio.Transport, ResponseHandler]:
        fast = self._fast if options.get("ssl") is not None else None
        # Not by the twin's own method, which is this one.
        return await aiohttp.TCPConnector._wrap_create_connection(fast or self, *args, **options)  # noqa: SLF001

    def __del__(self, *_: object) -> None:
        """Leave the sockets to their own finalizers: without its loop, nothing can be closed in order."""


class _OwnLoop:
    """Passes everything on to the caller's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class _FastLoop(_OwnLoop):
    """A loop whose `create_connection` is aiofastnet's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connect: Callable[..., Any]) -> None:
        super().__init__(loop)
        self._connect = partial(connect, loop if isinstance(loop, _PROACTOR) else _QuietLoop(loop))

    async def create_connection(self, *args: Any, **options: Any) -> Any:
        return await self._connect(*args, **options)


class _QuietLoop(_OwnLoop):
    """The loop for aiofastnet. On Windows, that has to see the loop itself.

    If a peer ends a connection within the handshake, aiofastnet 1.2.0 reports that to the loop's exception handler. It
    passes a class instead of an exception, which logging cannot even print. Whoever connects gets the error anyway.
    """

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if context.get("exception") is not ConnectionResetError:
            self._loop.call_exception_handler(context)


def _fast_twin(connector: Connector, connect: Callable[..., Any]) -> Connector:
    """Return a copy of a connector that makes connections in another way, and is used for nothing else.

    The caller's loop itself is never patched.
    """
    twin = copy(connector)
    twin._loop = _FastLoop(connector._loop, connect)  # type: ignore[assignment]  # noqa: SLF001
    return twin


class AnswerProtocol(ResponseHandler):
    """Reads answers within bounds, which also hold for a proxy's answer to CONNECT: `INTERIM_LIMIT` interim answers.

    What comes between two requests answers nobody, and ends the connection: aiohttp would keep it for the next request.
    It may have come while the loop was held up, so before the next request we ask the system, too.
    """

    _is_at_rest = False
    _socket: Any = None

    def set_response_params(self, **params: Any) -> None:
        """Begin to read an answer; for one to CONNECT, aiohttp passes no bounds, and lines would end at 8 KiB."""
        self._interims = 0
        self._is_at_rest = False
        super().set_response_params(**params, **_LINE_LIMITS)

    def rest(self) -> None:
        """Take nothing more until the next request: the answer was read to its end."""
        self._is_at_rest = True

    def is_connected(self) -> bool:
        """Return whether a request may be sent: not if bytes, or the end, came after the last answer."""
        return super().is_connected() and not (self._is_at_rest and self._has_something())

    def data_received(self, data: bytes) -> None:
        """Read on; or close the connection, if nothing was asked for."""
        if self._is_at_rest:
            self.close()
        else:
            super().data_received(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """End the answer under way. If that ends with its connection, aiohttp would take it for whole after a reset."""
        if exc is not None and self._payload is not None and not self._payload.is_eof():
            set_exception(self._payload, aiohttp.ClientOSError(*exc.args), exc)
        super().connection_lost(exc)

    def _has_something(self) -> bool:
        if self._socket is None:
            assert self.transport is not None
            self._socket = self.transport.get_extra_info("socket")
        return has_something(self._socket.fileno())

    async def read(self) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
        """Return the next answer, final or interim.

        Raises:
            TooManyInterimsError: More interim answers came than servers send.
        """
        message, content = await super().read()
        if message.code < _FIRST_FINAL and message.code != _SWITCHING_PROTOCOLS:
            self._interims += 1
            if self._interims > INTERIM_LIMIT:
                raise TooManyInterimsError
        return message, content

    async def final(self) -> tuple[RawResponseMessage, aiohttp.StreamReader]:
        """Return the final answer."""
        while True:
            message, content = await self.read()
            if message.code >= _FIRST_FINAL or message.code == _SWITCHING_PROTOCOLS:
                return message, content


def _new_protocol(loop: asyncio.AbstractEventLoop) -> ResponseHandler:
    return AnswerProtocol(loop)


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


def _socket(address: Any) -> socket.socket:
    """Make a socket whose kernel buffer holds little unsent, so that we notice a body that does not move."""
    family, kind, protocol, *_ = address
    made = socket.socket(family=family, type=kind, proto=protocol)
    limit_unsent(made)
    return made
