"""A whole router in a thread, for tests, examples and the demo."""

from __future__ import annotations

from collections.abc import Callable

from starlette.types import ASGIApp

from nomyo.serve.router.app import create_app
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.router import Router
from nomyo.serve.server import BackgroundServer


class RunningRouter(BackgroundServer):
    """Runs a router on this machine while a `with` block lasts, by default on a free loopback port.

    Args:
        config: Its settings; None for the defaults.
        wrap: Takes the application and returns the one to serve; tests add network faults here.
        router: An existing router, instead of a new one from `config`.
    """

    def __init__(
        self,
        config: RouterConfig | None = None,
        *,
        wrap: Callable[[ASGIApp], ASGIApp] | None = None,
        router: Router | None = None,
    ) -> None:
        app = create_app(config, router=router)
        self.router: Router = app.state.router
        """The router's state; `answers`, for example."""
        super().__init__(wrap(app) if wrap else app, self.router.config.listener)

    @property
    def public_pem(self) -> str:
        """Its current public key."""
        return self.router.keys.public_pem

    @property
    def fingerprint(self) -> str:
        """The fingerprint of its current key, as a client pins it."""
        return self.router.keys.fingerprint

    def rotate(self) -> None:
        """Replace its key now."""
        self.router.rotate()

    def stop(self) -> None:
        """Stop serving and wipe its keys; requests under way get 5 seconds. Idempotent."""
        super().stop()
        self.router.close()
