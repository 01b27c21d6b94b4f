"""A real router behind a layer that answers wrongly when told to."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter

if TYPE_CHECKING:
    import pytest

COMPLETION = "/v1/chat/secure_completion"
PUBLIC_KEY = "/pki/public_key"


@dataclass
class Answer:
    """An answer instead of the router's own."""

    status: int
    body: bytes = b'{"detail": "as the test wants it"}'
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Received:
    """A request as the network saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    raw_headers: list[tuple[bytes, bytes]] = field(default_factory=list)


class FaultyRouter:
    """Runs a router; `answers` come first, in order, for `path`; `change` alters the router's own answers."""

    def __init__(self, config: RouterConfig | None = None) -> None:
        self.reset()
        self.running = RunningRouter(config or RouterConfig(key_bits=2048), wrap=self._wrap)

    def reset(self) -> None:
        self.answers: deque[Answer] = deque()
        self.by_path: dict[str, deque[Answer]] = {}
        self.path = COMPLETION
        self.change: Callable[[bytes], bytes] | None = None
        self.change_headers: dict[str, str] = {}
        self.received: list[Received] = []

    @property
    def url(self) -> str:
        return self.running.url

    @property
    def private_key_pem(self) -> bytes:
        """The router's present key, for an independent judge."""
        with self.running.router.keys.current.to_pem() as pem:
            return bytes(pem)

    @property
    def posts(self) -> list[Received]:
        return [request for request in self.received if request.path == COMPLETION]

    @property
    def key_fetches(self) -> list[Received]:
        return [request for request in self.received if request.path == PUBLIC_KEY]

    def always(self, answer: Answer, times: int = 100) -> None:
        self.answers.extend([answer] * times)

    def __enter__(self) -> Self:
        self.running.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.running.stop()

    def _wrap(self, app: ASGIApp) -> ASGIApp:
        async def faulty(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                await app(scope, receive, send)
                return
            body = await _read(receive)
            headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
            self.received.append(Received(scope["method"], scope["path"], headers, body, scope["headers"]))
            planned = self.answers if scope["path"] == self.path else self.by_path.get(scope["path"])
            if planned:
                await _answer(send, planned.popleft())
                return
            change = self.change if scope["path"] == self.path else None
            await app(scope, _replay(body), _altered(send, change, self.change_headers) if change else send)

        return faulty


def note_opened(router: FaultyRouter, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Return the requests that a router opens from now on, as they come."""
    opened: list[dict[str, Any]] = []
    model = router.running.router._model
    complete = model.complete

    async def noting(request: Any) -> dict[str, Any]:
        opened.append(request)
        return await complete(request)

    monkeypatch.setattr(model, "complete", noting)
    return opened


@contextmanager
def deaf_host() -> Iterator[str]:
    """Yield the URL of a host that takes no connection, like one that is switched off: its queue of them is full."""
    with ExitStack() as stack:
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(silent.getsockname())
        yield f"http://127.0.0.1:{silent.getsockname()[1]}"


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _replay(body: bytes) -> Receive:
    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return receive


async def _answer(send: Send, answer: Answer) -> None:
    headers = _raw({"content-length": str(len(answer.body)), **answer.headers}.items())
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


def _altered(send: Send, change: Callable[[bytes], bytes], extra: dict[str, str]) -> Send:
    start: Message = {}

    async def altered(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            start = message
            return
        body = change(message["body"])
        kept = [(name, value) for name, value in start["headers"] if name != b"content-length"]
        headers = kept + _raw({"content-length": str(len(body)), **extra}.items())
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return altered


def _raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, Any]]:
    return [(name.encode(), value.encode()) for name, value in headers]
