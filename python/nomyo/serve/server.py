"""Runs an ASGI application under uvicorn: in this thread until a signal comes, or in a thread of its own."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import uvicorn
from starlette.types import ASGIApp

from nomyo.serve.listener import Listener
from nomyo.serve.timed_http import TimedHttp

_GRACE_S: Final = 5
_START_TIMEOUT_S: Final = 30.0
_STOP_TIMEOUT_S: Final = _GRACE_S + 5.0


def serve(app: ASGIApp, listener: Listener, on_ready: Callable[[str], None], *, grace_s: int = _GRACE_S) -> None:
    """Serve until SIGINT or SIGTERM, then let requests under way finish; a second SIGINT does not wait for them.

    Args:
        app: What answers.
        listener: Where to listen.
        on_ready: Called with the URL as soon as requests are answered.
        grace_s: Seconds that requests under way get; then they are cancelled.

    Raises:
        OSError: The address cannot be had, or a TLS file cannot be read.
    """
    bound = listener.bind()
    try:
        _Server(app, listener, lambda: on_ready(listener.url(bound)), grace_s).run(sockets=[bound])
    finally:
        bound.close()


class BackgroundServer:
    """Serves from a thread of its own: for tests, and for programs that need a server beside them.

    Args:
        app: What answers.
        listener: Where to listen; port 0 takes a free one.
    """

    def __init__(self, app: ASGIApp, listener: Listener) -> None:
        self._bound = listener.bind()
        self.url = listener.url(self._bound)
        """Where it is reached."""
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._server = _Server(app, listener, self._ready.set)
        self._thread = threading.Thread(target=self._run, name="nomyo-server", daemon=True)

    def start(self) -> None:
        """Start serving. Returns when requests are answered; raises RuntimeError where that does not come."""
        self._thread.start()
        if not self._ready.wait(_START_TIMEOUT_S) or not self._server.started:
            self.stop()
            raise RuntimeError("the server did not start") from self._failure

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
            self._ready.set()


class _Server(uvicorn.Server):
    """uvicorn, which tells when it is ready, and for which a signal is a reason to stop, not to die of."""

    def __init__(self, app: ASGIApp, listener: Listener, on_ready: Callable[[], None], grace_s: int = _GRACE_S) -> None:
        config = uvicorn.Config(
            app,
            ssl_certfile=listener.tls_cert,
            ssl_keyfile=listener.tls_key,
            log_config=None,
            access_log=False,
            server_header=False,
            http=TimedHttp,
            ws="none",
            lifespan="on",
            timeout_keep_alive=60,
            timeout_graceful_shutdown=grace_s,
        )
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, and a router told to stop would count as killed.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
