"""Sends requests without an event loop: by our own connections, or by the httpx client that the caller brought."""

from __future__ import annotations

import encodings.idna
from importlib import import_module
from typing import TYPE_CHECKING, Any

import certifi

from ..._system_errors import error_of_a_handler
from ..effects import NetworkFailure, Request, Response, Timeouts
from ..settings import Settings
from ..slots import ThreadSlots
from .body import HttpxBody, LateBodyError, answer_of
from .deadlines import ThreadDeadline
from .failures import CLOSED, answer_by, failure_of, failure_through, is_failure, is_failure_of_ours
from .forks import LIVE, keep_for_ever
from .httpx_request import build_httpx_request, check_client_type

if TYPE_CHECKING:
    import httpx

    from .sync_connections import Connections

# Imported early, not by the first request: if the process forks while another thread imports a module, the child waits
# for that import for ever.
_IMPORTED_EARLY = (certifi, encodings.idna)
_NAME = "connections"


class SyncHttp:
    """Sends requests from any thread."""

    def __init__(self, settings: Settings) -> None:
        """Make nothing yet: connections are made by requests.

        Raises:
            TypeError: `http_client` is not an `httpx.Client`.
        """
        check_client_type(settings.http_client, "Client")
        self.slots = ThreadSlots(settings.max_connections)
        self._settings = settings
        self._given: httpx.Client | None = settings.http_client
        self._own: dict[str, Connections] = {}
        self._closed = False
        LIVE.add(self)
        # Not at the top: those who use the async client alone need not wait for h11.
        connections: Any = import_module(".sync_connections", __package__)
        connections.prepare_for(settings.base_url)
        self._connections_of = connections.Connections

    def send(self, request: Request) -> Response | NetworkFailure:
        """Exchange one request for its response.

        Raises:
            ConfigurationError: The environment names a proxy or certificates that cannot be used.
        """
        if self._closed:
            return CLOSED
        if self._given is not None:
            return self._send_by(self._given, request)
        connections = self._connections()
        try:
            response = connections.exchange(request, request.timeouts or self._settings.timeouts)
            return answer_by(connections.proxy, response)
        except Exception as error:
            if not is_failure_of_ours(error):
                raise
            proxy = connections.proxy
            failure = failure_of(error) if proxy is None else failure_through(proxy, error)
        return failure

    def close(self) -> None:
        """Close our own connections; those in use are closed when their requests end. Idempotent.

        To close a socket does not wake the thread that reads from it.
        """
        self._closed = True
        for connections in list(self._own.values()):
            connections.close()

    def disown(self) -> None:
        """Let go of everything in a forked child, without closing any of it."""
        keep_for_ever(self._own)
        self._closed, self._own = True, {}

    def _connections(self) -> Connections:
        """Return the connections, which are made once.

        `setdefault` is a single step. A lock could stay locked if an exception came between two instructions.
        """
        known = self._own.get(_NAME)
        if known is None:
            known = self._own.setdefault(_NAME, self._connections_of(self._settings))
            if self._closed:
                known.close()
        return known

    def _send_by(self, given: httpx.Client, request: Request) -> Response | NetworkFailure:
        """Exchange a request by the client that the caller brought."""
        timeouts = request.timeouts or self._settings.timeouts
        deadline = ThreadDeadline(request, timeouts)
        own = None
        try:
            response = _exchanged(given, request, timeouts, deadline)
            if not deadline.passed:
                return response
            failure = failure_of(LateBodyError())
        except Exception as error:
            own = error_of_a_handler(error)
            if own is error or (own is None and not is_failure(error)):
                raise
            failure = failure_of(LateBodyError() if deadline.passed else error)
            failure = deadline.peer.explained(failure)
        finally:
            deadline.end()
        if own is not None:  # httpcore makes its own errors of a handler's TimeoutError and ConnectionError
            raise own
        return failure


def _exchanged(given: httpx.Client, request: Request, timeouts: Timeouts, deadline: ThreadDeadline) -> Response:
    import httpx

    built = build_httpx_request(given, request, request.body, timeouts, deadline.trace)
    try:
        response = given.send(built, stream=True, follow_redirects=False)
    except httpx.HTTPStatusError as error:  # of an event hook: httpx itself raises none
        return answer_of(request, error)
    try:
        return _read(request, response, timeouts)
    finally:
        response.close()


def _read(request: Request, response: httpx.Response, timeouts: Timeouts) -> Response:
    body = HttpxBody(request, response, timeouts.read_s)
    if body.wants_stream:
        for chunk in response.iter_raw():
            if not body.take(chunk):
                break
    return body.response()
