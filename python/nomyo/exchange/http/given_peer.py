"""Whom a connection of the caller's own client leads to: the router, or something before it, such as a proxy.

Only the events that httpcore gives httpx's `trace` extension say so. A transport of another library gives none; then
the peer counts as the router.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..effects import NetworkFailure

_PORTS: Final = {"http": 80, "https": 443}


class GivenPeer:
    """The other end of the connection that one request goes over.

    Args:
        url: The request's.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._before_router: str | None = None

    def note(self, event: str, info: Mapping[str, Any]) -> None:
        """Take an event of httpcore."""
        if event == "connection.connect_tcp.started":
            host, port = info["host"], info["port"]
            self._before_router = None if (host, port) == self._router() else f"{host}:{port}"
        elif event == "proxy.start_tls.started":  # the proxy has opened its tunnel
            self._before_router = None

    def explained(self, failure: NetworkFailure) -> NetworkFailure:
        """Return a failure; if the peer speaks no TLS and is not the router, in words that say so."""
        if self._before_router is None or not failure.in_clear:
            return failure
        reason = f"{self._before_router}, to which http_client connects, answered without TLS (is it http://?)"
        return failure._replace(reason=reason, in_clear=False)

    def _router(self) -> tuple[str, int | None]:
        import httpx

        url = httpx.URL(self._url)
        return url.raw_host.decode("ascii"), url.port or _PORTS.get(url.scheme)
