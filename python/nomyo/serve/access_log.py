"""Logs one line for each request: method, known path, status, sizes and time; never a header, query or unknown path.

Anybody can cause refusals, and ask for what needs no token: the first few of a minute have a line each, and the others
are counted.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nomyo.serve.connections import note_token, with_token_note
from nomyo.serve.log import REFUSALS_LOGGED, BoundedLog

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_UNKNOWN: Final = "-"


@dataclass(frozen=True, slots=True)
class Answered:
    """What is known about a request when it is over."""

    path: str
    """One of the known paths, or `-`."""
    status: int
    """0 if nothing was sent."""
    bytes_in: int
    bytes_out: int
    seconds: float


class AccessLog:
    """ASGI middleware that logs answers.

    Args:
        app: The application.
        logger: The logger that gets the lines, at INFO.
        routes: The paths that are shown; any other path is shown as `-`.
        note: Called with every answered request, to count it.
    """

    def __init__(
        self, app: ASGIApp, logger: logging.Logger, routes: Collection[str], note: Callable[[Answered], None]
    ) -> None:
        self._app = app
        self._logger = logger
        self._of_anybody = BoundedLog(logger, REFUSALS_LOGGED)
        self._routes = routes
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and log it when it is over."""
        if scope["type"] != "http":  # the lifespan of the application
            await self._app(scope, receive, send)
            self._of_anybody.log_counts()
            return
        began_at = time.perf_counter()
        status, bytes_in, bytes_out = 0, 0, 0
        has_token = False

        def noted() -> None:
            nonlocal has_token
            has_token = True
            note_token(scope)

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
            await self._app(with_token_note(scope, noted), counted_receive, counted_send)
        finally:
            path = scope["path"] if scope["path"] in self._routes else _UNKNOWN
            method = scope["method"] if scope["method"] in _METHODS else _UNKNOWN
            elapsed_s = time.perf_counter() - began_at
            self._note(Answered(path, status, bytes_in, bytes_out, elapsed_s))
            log = self._logger if has_token and 200 <= status < 400 else self._of_anybody
            log.info("%s %s %d in=%d out=%d %.1fms", method, path, status, bytes_in, bytes_out, elapsed_s * 1e3)
