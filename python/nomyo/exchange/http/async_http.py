"""Sends requests from event loops; connections belong to the loop that made them."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING

from ...errors import ConfigurationError
from ..crypto_threads import crypto_threads
from ..effects import Compute, NetworkFailure, Request, Response, Timeouts
from ..loop_local import LoopLocal
from ..settings import Settings
from ..slots import LoopSlots
from .body import HttpxBody, answer_of
from .deadlines import LoopDeadline
from .environment import ssl_context
from .failures import CLOSED, failure_of, is_failure
from .forks import LIVE, keep_for_ever
from .httpx_request import build_httpx_request, check_client_type
from .loop_pool import LoopPool, import_session
from .upload import in_pieces

if TYPE_CHECKING:
    import httpx


class AsyncHttp:
    """Sends requests from any event loop: by our own connections, or by the httpx client that the caller brought."""

    def __init__(self, settings: Settings) -> None:
        """Make nothing yet: the connections of a loop are made by its requests.

        Raises:
            TypeError: `http_client` is not an `httpx.AsyncClient`.
        """
        check_client_type(settings.http_client, "AsyncClient")
        self.slots = LoopSlots(settings.max_connections)
        self._settings = settings
        self._given: httpx.AsyncClient | None = settings.http_client
        self._pools: LoopLocal[LoopPool] = LoopLocal()
        self._closed = False
        LIVE.add(self)

    async def send(self, request: Request) -> Response | NetworkFailure:
        """Exchange one request for its response."""
        if self._closed:
            return CLOSED
        if self._given is not None:
            return await self._send_by(self._given, request)
        pool = self._pools.get() or await self._open_pool()
        return CLOSED if pool is None else await pool.session.exchange(request)

    def close(self) -> None:
        """Close our own connections, from anywhere: with or without a running loop. Idempotent."""
        for pool in self._take_pools():
            pool.close()

    async def aclose(self) -> None:
        """Close our own connections, and wait for those of the running loop. Idempotent."""
        for pool in self._take_pools():
            if pool.loop is asyncio.get_running_loop():
                await pool.aclose()
            else:
                pool.close()

    def disown(self) -> None:
        """Let go of everything in a forked child, without closing any of it.

        The child's loop shares an epoll with the parent's. A transport that is closed or collected here
        would remove the parent's sockets from it, and the parent would wait for them in vain.
        """
        self._pools.forget_lock()
        keep_for_ever(self._take_pools())

    async def _send_by(self, given: httpx.AsyncClient, request: Request) -> Response | NetworkFailure:
        """Exchange a request by the client that the caller brought."""
        timeouts = request.timeouts or self._settings.timeouts
        deadline = LoopDeadline(request, timeouts)
        try:
            return await _exchanged(given, request, timeouts, deadline)
        except Exception as error:  # noqa: BLE001 - it is judged below
            caught = error
        # Out of the block that caught it: it refers to the request's headers, and must become no error's context.
        try:
            failure = _failure_in(caught)
            if failure is None:
                raise caught
            return deadline.peer.explained(failure)
        finally:
            del caught  # it refers to this frame

    async def _open_pool(self) -> LoopPool | None:
        """Make the running loop's connections and return them; None if the client was closed meanwhile."""
        # Both take too long for the event loop. Side by side, because OpenSSL reads certificates without the GIL.
        works = Compute(partial(ssl_context, self._settings)), Compute(import_session)
        context, _ = await asyncio.gather(*map(crypto_threads().do, works))
        if self._closed or (pool := self._pools.get()) is not None:
            return None if self._closed else pool
        pool = LoopPool(self._settings, context)
        self._pools.put(pool)
        await pool.open()
        return await self._unless_closed(pool)

    async def _unless_closed(self, pool: LoopPool) -> LoopPool | None:
        """Return a new pool; None if another thread closed the client, too early to see the pool and close it."""
        if not self._closed:
            return pool
        if pool in self._take_pools():
            await pool.aclose()
        return None

    def _take_pools(self) -> list[LoopPool]:
        self._closed = True
        return self._pools.take_all()


def _failure_in(error: Exception) -> NetworkFailure | None:
    """Return why no answer came by the caller's client; None if the error is a bug, or the caller's own.

    aiohttp may run below that client, but not if nobody has imported it.
    """
    if not _knows_aiohttp():
        return failure_of(error) if is_failure(error) else None
    from .session import ERRORS, failure_in

    if not isinstance(error, ERRORS) and not is_failure(error):
        return None
    return failure_in(error) or failure_of(error)


def _knows_aiohttp() -> bool:
    """Return whether aiohttp was imported by anybody, and by us."""
    if "aiohttp" not in sys.modules:
        return False
    try:
        import_session()
    except ConfigurationError:
        return False
    return True


async def _exchanged(
    given: httpx.AsyncClient, request: Request, timeouts: Timeouts, deadline: LoopDeadline
) -> Response:
    import httpx

    built = build_httpx_request(given, request, in_pieces(request.body), timeouts, deadline.trace)
    async with deadline.bound:
        try:
            response = await given.send(built, stream=True, follow_redirects=False)
        except httpx.HTTPStatusError as error:  # of an event hook: httpx itself raises none
            return answer_of(request, error)
        try:
            deadline.headers_came()
            return await _read(request, response, timeouts)
        finally:
            await response.aclose()


async def _read(request: Request, response: httpx.Response, timeouts: Timeouts) -> Response:
    body = HttpxBody(request, response, timeouts.read_s)
    if body.wants_stream:
        async for chunk in response.aiter_raw():
            if not body.take(chunk):
                break
    return body.response()
