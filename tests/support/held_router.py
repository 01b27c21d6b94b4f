"""A real router whose answers wait until they are let go: for what happens while a request is under way."""

from __future__ import annotations

import asyncio
import threading
from typing import Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.faults import COMPLETION


class HeldRouter:
    """Runs a router that holds every completion until `let_go` is set."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.under_way = 0
        """Completions that are held now."""
        self.most = 0
        """The most there were at once."""
        self.given_up = 0
        """Those whose client hung up."""
        self._running = RunningRouter(RouterConfig(key_bits=2048), wrap=self._wrap)

    @property
    def url(self) -> str:
        return self._running.url

    def __enter__(self) -> Self:
        self._running.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.let_go.set()
        self._running.stop()

    def _wrap(self, app: ASGIApp) -> ASGIApp:
        async def held(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] != COMPLETION:
                await app(scope, receive, send)
                return
            body, more = [], True
            while more:
                body.append(await receive())
                more = body[-1].get("more_body", False)
            if await self._hold(receive):
                body.reverse()

                async def replayed() -> Message:
                    return body.pop() if body else await receive()

                await app(scope, replayed, send)

        return held

    async def _hold(self, receive: Receive) -> bool:
        """Wait; return whether the client did so too."""
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        leaving = asyncio.ensure_future(receive())
        try:
            while not self.let_go.is_set() and not leaving.done():
                await asyncio.sleep(0.01)
            self.given_up += leaving.done()
            return not leaving.done()
        finally:
            self.under_way -= 1
            leaving.cancel()
