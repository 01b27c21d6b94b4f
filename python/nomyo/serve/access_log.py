"""One log line a request: what was asked, how it ended, sizes and time. Never a header, a query or an unknown path."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNKNOWN: Final = "-"


@dataclass(frozen=True, slots=True)
class Answered:
    """What is known of a request when it is over."""

    path: str
    """One of the known paths, or `-`."""
    status: int
    """0: nothing was sent."""
    bytes_in: int
    bytes_out: int
    seconds: float


class AccessLog:
    """ASGI middleware that logs answers.

    Args:
        app: What answers.
        logger: Where the lines go, at INFO.
        routes: The paths that may stand in a line; any other is shown as `-`.
        note: Called with every answer, to count it.
    """

    def __init__(
        self, app: ASGIApp, logger: logging.Logger, routes: Collection[str], note: Callable[[Answered], None]
    ) -> None:
        self._app = app
        self._logger = logger
        self._routes = routes
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and log it when it is over."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_at = time.perf_counter()
        status, bytes_in, bytes_out = 0, 0, 0

        async def counted_receive() -> Message:
            nonlocal bytes_in
            message = await receive()
            bytes_in += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            nonlocal status, bytes_out
            status = message.get("status", status)
            bytes_out += len(message.get("body", b""))
            await send(message)

        try:
            await self._app(scope, counted_receive, counted_send)
        finally:
            path = scope["path"] if scope["path"] in self._routes else _UNKNOWN
            method = scope["method"] if scope["method"] in _METHODS else _UNKNOWN
            elapsed_s = time.perf_counter() - began_at
            self._note(Answered(path, status, bytes_in, bytes_out, elapsed_s))
            self._logger.info(
                "%s %s %d in=%d out=%d %.1fms", method, path, status, bytes_in, bytes_out, elapsed_s * 1e3
            )
