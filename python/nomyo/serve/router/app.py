"""The router as an ASGI application. This module only translates HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from nomyo._warn import log_named
from nomyo.serve.access_log import AccessLog
from nomyo.serve.body import BodyTooLargeError, BodyTooSlowError, read_body
from nomyo.serve.connections import note_token
from nomyo.serve.log import REFUSALS_LOGGED, BoundedLog, log_without_message
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.refusal import Refusal
from nomyo.serve.router.router import Router

KEY_PATH: Final = "/pki/public_key"
COMPLETION_PATH: Final = "/v1/chat/secure_completion"

_log = log_named("nomyo.router")
_NO_STORE: Final = {"Cache-Control": "no-store"}


def create_app(config: RouterConfig | None = None, *, router: Router | None = None) -> Starlette:
    """Return a router as an ASGI application. Its key is made here, and wiped when the application's lifespan ends.

    Args:
        config: The settings; None for the defaults.
        router: An existing router, instead of a new one from `config`. `app.state.router` is the router in both cases.
    """
    if router is None:
        router = Router(config or RouterConfig())
    access_log = Middleware(AccessLog, logger=_log, routes=frozenset({KEY_PATH, COMPLETION_PATH}), note=router.note)
    app = Starlette(
        routes=[
            Route(KEY_PATH, _public_key, methods=["GET"]),
            Route(COMPLETION_PATH, _secure_completion, methods=["POST"]),
        ],
        middleware=[access_log],
        exception_handlers={HTTPException: _http_error},
        lifespan=_lifespan,
    )
    app.router.redirect_slashes = False
    app.state.router = router
    app.state.log = BoundedLog(_log, REFUSALS_LOGGED)
    return app


@asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    router: Router = app.state.router
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(router.maintain)
            yield
            tasks.cancel_scope.cancel()
    finally:
        await router.aclose()
        app.state.log.log_counts()


async def _public_key(request: Request) -> Response:
    router: Router = request.app.state.router
    return PlainTextResponse(router.keys.public_pem, headers=_NO_STORE)


async def _secure_completion(request: Request) -> Response:
    router: Router = request.app.state.router
    log: BoundedLog = request.app.state.log
    try:
        with router.slot():
            address = request.client.host if request.client else "unknown"
            head = router.admit(request.headers, address)
            note_token(request.scope)
            package = await _body(request, router.config)
            sealed = await router.answer(head, package)
        return Response(sealed, media_type="application/octet-stream", headers=_NO_STORE)
    except Refusal as refusal:
        log.info("refused: %d %s", refusal.status, refusal.detail)
        return refusal.response()
    except ClientDisconnect:
        return Refusal(400, "The request's body did not arrive").response()
    except MemoryError:
        log.error("out of protected memory")
        return Refusal(503, "The router is out of protected memory", retry_after_s=1).response()
    except Exception as error:  # noqa: BLE001 - no message or traceback may reach the log
        log_without_message(log, error)
        return Refusal(500, "Internal Server Error").response()


async def _body(request: Request, config: RouterConfig) -> bytes:
    try:
        return await read_body(request, config.max_body_bytes, config.body_timeout_s)
    except BodyTooLargeError:
        refusal = Refusal(413, f"The request may have {config.max_body_bytes} bytes at most")
    except BodyTooSlowError:
        refusal = Refusal(408, "The request's body took too long to arrive")
    raise refusal


async def _http_error(_request: Request, error: Exception) -> Response:
    """Give Starlette's own refusals (404, 405) the protocol's form."""
    if not isinstance(error, HTTPException):
        raise error
    response = Refusal(error.status_code, error.detail).response()
    response.headers.update(error.headers or {})
    return response
