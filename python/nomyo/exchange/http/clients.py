"""The two clients: httpx, over aiohttp where there is an event loop."""

from __future__ import annotations

import asyncio
import ctypes
import encodings.idna
import os
import ssl
import threading
import weakref
from collections.abc import AsyncGenerator
from functools import lru_cache
from importlib import import_module
from typing import Any

import aiohttp
import certifi
import httpx
from httpx_aiohttp import HttpxAiohttpClient

from ..effects import NetworkFailure, Request, Response, Timeouts
from ..settings import Settings
from ..turns import LoopTurns, ThreadTurns
from ..workers import crypto_pool
from .body import Body
from .failures import FAILURES, failure_of
from .upload import Pieces, in_pieces

_CLOSED = NetworkFailure("the client was closed", connected=False)
# What the first request would import. A child forked while another thread imports a module waits for it for ever.
_IMPORTED_EARLY = (certifi, encodings.idna)


class SyncHttp:
    """Sends requests from any thread."""

    def __init__(self, settings: Settings) -> None:
        """Make nothing yet: the pooled client is made by the first request.

        Raises:
            TypeError: `http_client` is not an `httpx.Client`.
        """
        self.turns = ThreadTurns(settings.max_connections)
        self._settings = settings
        self._own: httpx.Client | None = None
        self._under_way = 0
        self._closed = False
        _LIVE.add(self)
        self._lock = threading.Lock()
        import_module("httpcore")  # see _IMPORTED_EARLY
        _check_client_type(settings.http_client, httpx.Client)

    def send(self, request: Request) -> Response | NetworkFailure:
        """Exchange one request for its response."""
        if not self._enter():
            return _CLOSED
        try:
            client = self._client()
            built = _built(client, request, request.body, self._settings)
            response = client.send(built, stream=True, follow_redirects=False)
            try:
                return self._read(request, response)
            finally:
                response.close()
                self._forget_cookies()
        except FAILURES as error:
            failure = failure_of(error)
        finally:
            self._leave()
        return failure

    def close(self) -> None:
        """Close the connections that are ours; the last request under way does it, if there is one. Idempotent.

        A connection that is being made while its pool is closed would be left open, and closing a
        socket does not wake the thread that reads from it.
        """
        with self._lock:
            self._closed = True
        self._close_if_unused()

    def _forget_cookies(self) -> None:
        """Drop what a server set: it would tie requests of different API keys together."""
        own = self._own
        if own is not None:
            own.cookies.clear()

    def disown(self) -> None:
        """Let go of everything in a forked child: a lock of the pool may be held by a thread of the parent."""
        self._lock = threading.Lock()
        _keep_for_ever(self._own)
        self._closed, self._own = True, None

    def _enter(self) -> bool:
        with self._lock:
            self._under_way += not self._closed
            return not self._closed

    def _client(self) -> httpx.Client:
        given = self._settings.http_client
        if isinstance(given, httpx.Client):
            return given
        with self._lock:
            if self._own is None:
                self._own = httpx.Client(verify=_ssl_context(self._settings), limits=_limits(self._settings))
            return self._own

    def _leave(self) -> None:
        with self._lock:
            self._under_way -= 1
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        with self._lock:
            if not self._closed or self._under_way:
                return
            own, self._own = self._own, None
        if own is not None:
            own.close()

    def _read(self, request: Request, response: httpx.Response) -> Response:
        body = Body(request, response, (request.timeouts or self._settings.timeouts).read_s)
        if body.wants_stream:
            for chunk in response.iter_raw():
                if not body.take(chunk):
                    break
        return body.response()


class AsyncHttp:
    """Sends requests from any event loop: connections belong to the loop that made them."""

    def __init__(self, settings: Settings) -> None:
        """Make nothing yet: the pooled client of a loop is made by its first request.

        Raises:
            TypeError: `http_client` is not an `httpx.AsyncClient`.
        """
        self.turns = LoopTurns(settings.max_connections)
        self._settings = settings
        self._pools: dict[asyncio.AbstractEventLoop, _LoopPool] = {}
        self._closed = False
        _LIVE.add(self)
        self._lock = threading.Lock()
        _check_client_type(settings.http_client, httpx.AsyncClient)

    async def send(self, request: Request) -> Response | NetworkFailure:
        """Exchange one request for its response."""
        if self._closed:
            return _CLOSED
        try:
            response = await self._response_to(request)
            try:
                return await self._read(request, response)
            finally:
                await response.aclose()
        except FAILURES as error:
            failure = failure_of(error)
        return failure

    def close(self) -> None:
        """Close the connections that are ours, from anywhere: with or without a running loop. Idempotent."""
        for pool in self._take_pools():
            pool.close()

    async def aclose(self) -> None:
        """Close the connections that are ours, and wait for those of the running loop. Idempotent."""
        for pool in self._take_pools():
            if pool.loop is asyncio.get_running_loop():
                await pool.aclose()
            else:
                pool.close()

    async def _read(self, request: Request, response: httpx.Response) -> Response:
        body = Body(request, response, (request.timeouts or self._settings.timeouts).read_s)
        if body.wants_stream:
            async for chunk in response.aiter_raw():
                if not body.take(chunk):
                    break
        return body.response()

    async def _response_to(self, request: Request) -> httpx.Response:
        given = self._settings.http_client
        if given is None:
            return await (await self._pool()).send(request)
        assert isinstance(given, httpx.AsyncClient)
        built = _built(given, request, in_pieces(request.body), self._settings)
        return await given.send(built, stream=True, follow_redirects=False)

    async def _pool(self) -> _LoopPool:
        loop = asyncio.get_running_loop()
        if loop not in self._pools:
            # Loading the CA bundle takes some 20 ms: not in the event loop.
            context = await loop.run_in_executor(crypto_pool(), _ssl_context, self._settings)
            if loop not in self._pools:
                await self._open_pool(loop, context)
        return self._pools[loop]

    async def _open_pool(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext) -> None:
        pool = _LoopPool(loop, self._settings, context)
        with self._lock:
            self._pools = {known: p for known, p in self._pools.items() if not known.is_closed()}
            self._pools[loop] = pool
        await pool.open()

    def disown(self) -> None:
        """Let go of everything in a forked child, without closing any of it.

        A loop shares its epoll with that of the parent: a transport that is closed or collected here
        would take the parent's sockets out of it, and the parent would wait for them in vain.
        """
        self._lock = threading.Lock()  # a thread of the parent may have held it
        _keep_for_ever(self._pools)
        self._closed, self._pools = True, {}

    def _take_pools(self) -> list[_LoopPool]:
        with self._lock:
            self._closed = True
            pools, self._pools = self._pools, {}
        return list(pools.values())


_LIVE: weakref.WeakSet[AsyncHttp | SyncHttp] = weakref.WeakSet()


def _disown_all() -> None:
    for http in list(_LIVE):
        http.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown_all)


def _keep_for_ever(thing: object) -> None:
    """Have an object outlive the interpreter: it is not even collected at exit."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


class _LoopPool:
    """The pooled client of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, settings: Settings, context: ssl.SSLContext) -> None:
        self.loop = loop
        self.client = HttpxAiohttpClient(verify=context, limits=_limits(settings))
        self._extensions = {"timeout": _timeout(settings.timeouts).as_dict()}
        self._headers = {name: self.client.headers[name] for name in ("Accept", "User-Agent")}
        self._guard = _close_with_loop(self.client)
        self._closing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Have the loop close the client when it shuts its asynchronous generators down."""
        await anext(self._guard)

    async def send(self, request: Request) -> httpx.Response:
        """Send a request through the client's transport, its proxy's where the environment names one.

        The rest of httpx's client would take as long again as all that is below it, and would do nothing here: no
        redirect is followed, no cookie kept, no authentication made up.
        """
        url = _parsed(request.url)
        transport = self.client._transport_for_url(url)  # noqa: SLF001 - no public way
        built = httpx.Request(
            request.method,
            url,
            headers={**self._headers, **_headers(request)},
            content=in_pieces(request.body) or None,
            extensions=self._extensions_of(request),
        )
        try:
            return await transport.handle_async_request(built)
        finally:
            _forget_cookies(transport)

    def _extensions_of(self, request: Request) -> dict[str, Any]:
        if request.timeouts is None:
            return self._extensions
        return {"timeout": _timeout(request.timeouts).as_dict()}

    async def aclose(self) -> None:
        """Close the connections; in the loop."""
        await self._guard.aclose()
        await self.client.aclose()  # where `open` was cancelled

    def close(self) -> None:
        """Close the connections; from anywhere."""
        if self.loop.is_closed():
            return  # closed by the guard, where the loop shut its generators down; past closing otherwise
        if self.loop.is_running():
            self.loop.call_soon_threadsafe(self._start_closing)
        elif not _in_a_loop():
            self.loop.run_until_complete(self.aclose())
        else:  # a thread runs one loop at a time
            closer = threading.Thread(target=self.loop.run_until_complete, args=(self.aclose(),))
            closer.start()
            closer.join()

    def _start_closing(self) -> None:
        self._closing = self.loop.create_task(self.aclose())


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _close_with_loop(client: httpx.AsyncClient) -> AsyncGenerator[None, None]:
    """Close a client at the latest when its loop ends.

    `asyncio.run` closes every asynchronous generator before it closes the loop; afterwards a
    connection could not be closed any more ("Event loop is closed").
    """
    try:
        yield
    finally:
        await client.aclose()


def _built(
    client: httpx.Client | httpx.AsyncClient, request: Request, content: bytes | Pieces, settings: Settings
) -> httpx.Request:
    return client.build_request(
        request.method,
        request.url,
        headers=_headers(request),
        content=content or None,
        timeout=_timeout(request.timeouts or settings.timeouts),
    )


@lru_cache(maxsize=64)
def _parsed(url: str) -> httpx.URL:
    return httpx.URL(url)


def _headers(request: Request) -> dict[str, str]:
    length = {"Content-Length": str(len(request.body))} if request.body else {}
    return {**request.headers, **length}


def _timeout(timeouts: Timeouts) -> httpx.Timeout:
    return httpx.Timeout(connect=timeouts.connect_s, read=timeouts.read_s, write=timeouts.write_s, pool=None)


def _forget_cookies(transport: httpx.AsyncBaseTransport) -> None:
    """Drop what a server set: it would tie requests of different API keys together."""
    session = getattr(transport, "client", None)
    if isinstance(session, aiohttp.ClientSession):
        session.cookie_jar.clear()


def _limits(settings: Settings) -> httpx.Limits:
    return httpx.Limits(max_connections=settings.max_connections, max_keepalive_connections=settings.max_connections)


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    """Return the context that httpx would make, shared by all clients.

    For plain HTTP it is one that trusts nobody: no CA bundle need be loaded for what cannot be used.
    """
    if settings.plain_http:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _ssl_context_for(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=8)
def _ssl_context_for(_cert_file: str | None, _cert_dir: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=True)


def _check_client_type(client: object, wanted: type[httpx.Client] | type[httpx.AsyncClient]) -> None:
    if client is not None and not isinstance(client, wanted):
        raise TypeError(f"http_client must be an httpx.{wanted.__name__}, not {type(client).__name__}")
