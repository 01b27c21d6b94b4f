"""Runs an ASGI application under uvicorn: in this thread until a signal comes, or in a thread of its own."""

from __future__ import annotations

import asyncio
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Self

import uvicorn
from starlette.types import ASGIApp

from nomyo._signals import not_ignored
from nomyo._speed import run_loop
from nomyo._threads import is_no_thread, no_thread
from nomyo._warn import log_named
from nomyo.serve.acceptor import Acceptor
from nomyo.serve.bounds import raise_descriptor_limit
from nomyo.serve.connections import Connections
from nomyo.serve.listener import Listener
from nomyo.serve.log import BoundedLog, log_without_message
from nomyo.serve.timed_http import TimedHttp

_GRACE_S: Final = 5
_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = _GRACE_S + 5.0


def serve(app: ASGIApp, listener: Listener, on_ready: Callable[[str], None], *, grace_s: int = _GRACE_S) -> None:
    """Serve until SIGINT or SIGTERM, then let requests under way finish. A second SIGINT does not wait for them.

    A signal that was ignored at the start stays ignored.

    Args:
        app: The application.
        listener: Where to listen.
        on_ready: Called with the URL as soon as requests are answered.
        grace_s: Seconds that requests under way may still take; then they are cancelled.

    Raises:
        OSError: The address cannot be had, or a TLS file cannot be read; or `on_ready` raised it.
        Exception: Whatever else ended the server; it was logged before, without its words.
    """
    raise_descriptor_limit()
    bound = listener.bind()
    try:
        server = _Server(app, listener, lambda: on_ready(listener.url(bound)), grace_s)
        run_loop(server.serve(sockets=[bound]))
    finally:
        bound.close()
    if server.failure is not None:
        raise server.failure


class BackgroundServer:
    """Serves from a thread of its own: for tests, and for programs that need a server beside them.

    Args:
        app: The application.
        listener: Where to listen; port 0 takes a free one.
    """

    def __init__(self, app: ASGIApp, listener: Listener) -> None:
        self._bound = listener.bind()
        self.url: str = listener.url(self._bound)
        """The URL under which it is reached."""
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._server = _Server(app, listener, self._ready.set)
        self._thread = threading.Thread(target=self._run, name="nomyo-server", daemon=True)

    def start(self) -> None:
        """Start serving. Returns when requests are answered.

        Raises:
            ConfigurationError: The system gives no thread for it.
            RuntimeError: The server did not start.
        """
        try:
            self._thread.start()
        except RuntimeError as error:
            self._bound.close()
            if not is_no_thread(error):
                raise
            raise no_thread("a server in the background") from None
        if not self._ready.wait(_START_TIMEOUT_S) or not self._server.started:
            self.stop()
            raise RuntimeError("the server did not start") from self._failure

    @property
    def serves(self) -> bool:
        """Whether it answers: it was started and has not ended."""
        return self._ready.is_set() and self._thread.is_alive()

    def stop(self) -> None:
        """Stop serving; requests under way get 5 seconds. Idempotent."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(_STOP_TIMEOUT_S)
        self._bound.close()

    def __enter__(self) -> Self:
        """Start serving."""
        self.start()
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop serving."""
        self.stop()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._bound])
        except BaseException as error:  # noqa: BLE001 - raised in start(); uvicorn leaves with SystemExit
            self._failure = error
        finally:
            self._bound.close()  # clients would wait for an answer of a socket that listens and that nobody serves
            self._ready.set()


class _Server(uvicorn.Server):
    """uvicorn with our accept loop. It reports when it is ready, and a signal stops it without killing the process."""

    def __init__(self, app: ASGIApp, listener: Listener, on_ready: Callable[[], None], grace_s: int = _GRACE_S) -> None:
        config = uvicorn.Config(
            app,
            ssl_certfile=listener.tls_cert,
            ssl_keyfile=listener.tls_key,
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # the address of the connection is the caller's: anybody can write X-Forwarded-For
            loop="asyncio",  # of `BackgroundServer`; `serve` takes the loop of our commands
            http="h11",
            ws="none",
            lifespan="on",
            timeout_keep_alive=listener.bounds.idle_s,  # type: ignore[arg-type]  # a fraction is as good
            timeout_graceful_shutdown=grace_s,
        )
        super().__init__(config)
        self._bounds = listener.bounds
        self._on_ready = on_ready
        self._log = BoundedLog(log_named("nomyo.server"))
        self._connections = Connections(self._bounds.max_connections(), self._log.warning)
        self._acceptors: list[Acceptor] = []
        self.failure: Exception | None = None
        """What `on_ready` raised, or what ended the server."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(self._log_without_words)
        await super().startup(sockets=[])  # the accept loop is ours
        for listening in sockets or ():
            acceptor = Acceptor(
                listening, self._connection, self._connections, self.config.ssl, self._bounds, self._log
            )
            acceptor.start()
            self._acceptors.append(acceptor)
        try:
            self._on_ready()
        except OSError as error:  # raised from here, it would be logged with a traceback
            self.failure = error
            await self.shutdown(sockets=sockets)
            self.should_exit = True

    async def main_loop(self) -> None:
        try:
            await super().main_loop()
        except Exception as error:  # noqa: BLE001 - raised by `serve`; what is under way ends in order before
            self.failure = error
            log_without_message(self._log, error)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self._acceptors:
            await acceptor.stop()
        await super().shutdown(sockets=sockets)
        self._log.log_counts()

    def _connection(self) -> TimedHttp:
        return TimedHttp(
            self.config,
            self.server_state,
            self.lifespan.state,
            bounds=self._bounds,
            connections=self._connections,
            log=self._log,
        )

    def _log_without_words(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if error is None:
            self._log.error("in the event loop: %s", context["message"])
        else:
            log_without_message(self._log, error)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own handler raises the signal again at the end, and a stopped router would count as killed.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = not_ignored(signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
