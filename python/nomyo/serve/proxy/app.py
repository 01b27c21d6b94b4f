"""The proxy as an ASGI application: its routes, and the middleware in front of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from nomyo import SecureCompletionClient, __version__, get_memory_protection_info
from nomyo._api_form import ApiForm
from nomyo._warn import log_named
from nomyo.anthropic_form.messages_form import MessagesForm
from nomyo.anthropic_form.model_list import model_list, model_object
from nomyo.openai_form.chat_form import ChatForm
from nomyo.openai_form.responses.form import ResponsesForm
from nomyo.serve.access_log import AccessLog
from nomyo.serve.bearer import BearerTokens
from nomyo.serve.log import REFUSALS_LOGGED, BoundedLog
from nomyo.serve.proxy.completions import Completions
from nomyo.serve.proxy.config import ProxyConfig
from nomyo.serve.proxy.forms import Forms, speaks_anthropic
from nomyo.serve.proxy.guard import Guard
from nomyo.serve.proxy.hosts import Hosts
from nomyo.serve.proxy.metrics import CONTENT_TYPE, Metrics
from nomyo.serve.proxy.model_names import ModelNames, model_objects
from nomyo.serve.proxy.page_files import PageFile, page_files
from nomyo.serve.proxy.refusal import Refusal
from nomyo.serve.proxy.router_key import RouterKey
from nomyo.serve.proxy.slots import Slots
from nomyo.serve.proxy.token_counts import TokenCounts

_log = log_named("nomyo.proxy")
_COMPLETIONS: Final = "/v1/chat/completions"
_MESSAGES: Final = "/v1/messages"
_RESPONSES: Final = "/v1/responses"
_FORMS: Final[dict[str, ApiForm[Any]]] = {
    _COMPLETIONS: ChatForm(),
    _RESPONSES: ResponsesForm(),
    _MESSAGES: MessagesForm(),
}
"""The paths that take a request for a model, each with the form in which it is asked and answered there."""
_COUNTS: Final = "/v1/messages/count_tokens"
_ALL_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
_MODELS: Final = "/v1/models"
_HEALTH: Final = "/healthz"
_METRICS: Final = "/metrics"
_STATUS: Final = "/nomyo/status"

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]


def create_app(config: ProxyConfig, client: SecureCompletionClient) -> Starlette:
    """Return a proxy as an ASGI application.

    Args:
        config: Its settings.
        client: Sends its requests; closed when the application's lifespan ends.
    """
    slots = Slots(config.max_at_once, config.max_waiting, config.patience_s)
    metrics = Metrics(slots)
    page = page_files()
    forms = Forms(_FORMS)
    own_paths = frozenset({*_FORMS, _COUNTS, _MODELS, _HEALTH, _METRICS, _STATUS, *page})

    refusals = BoundedLog(_log, REFUSALS_LOGGED)

    def refused(refusal: Refusal, scope: Scope) -> Response:
        refusals.info("refused: %d %s", refusal.status, refusal.code)
        metrics.note_error(refusal.code)
        return refusal.response(forms.of(scope))

    async def http_error(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            raise error
        return refused(_refusal_of(error), request.scope)

    models = _Models(config.model_names, refused)
    app = Starlette(
        routes=[
            *(
                Route(path, Completions(config, client, slots, form, refused), methods=["POST"])
                for path, form in _FORMS.items()
            ),
            Route(_COUNTS, TokenCounts(config, client, slots, refused), methods=["POST"]),
            Route(_RESPONSES + "/{rest:path}", _nothing_stored(refused), methods=_ALL_METHODS),
            Route(_MODELS, models.all, methods=["GET"]),
            Route(_MODELS + "/{name:path}", models.one, methods=["GET"]),
            Route(_HEALTH, _health, methods=["GET"]),
            Route(_METRICS, _metrics_of(metrics), methods=["GET"]),
            Route(_STATUS, _status_of(config, client), methods=["GET"]),
            *(Route(path, _file(file), methods=["GET"]) for path, file in page.items()),
        ],
        middleware=[
            Middleware(AccessLog, logger=_log, routes=own_paths, note=metrics.note),
            Middleware(
                Guard,
                hosts=Hosts(config),
                tokens=BearerTokens([] if config.token is None else [config.token]),
                # The token is needed, because the figures show when somebody is at work. Prometheus can send it.
                open_paths=frozenset({_HEALTH, *page}),
                refused=refused,
            ),
        ],
        exception_handlers={HTTPException: http_error},
        lifespan=_lifespan_of(client, refusals),
    )
    app.router.redirect_slashes = False
    return app


def _lifespan_of(client: SecureCompletionClient, refusals: BoundedLog) -> Callable[[Starlette], Any]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await client.aclose()
            refusals.log_counts()

    return lifespan


class _Models:
    """`/v1/models`: the models that the configuration names, because the router has no list."""

    def __init__(self, names: ModelNames, refused: Callable[[Refusal, Scope], Response]) -> None:
        self._created = int(time.time())
        self._names = names
        self._refused = refused

    async def all(self, request: Request) -> Response:
        if speaks_anthropic(request.scope):
            return JSONResponse(model_list(self._names.listed, self._created))
        return JSONResponse({"object": "list", "data": model_objects(self._names.listed, self._created)})

    async def one(self, request: Request) -> Response:
        name = request.path_params["name"]
        if not self._names.knows(name):
            missing = Refusal(404, "model_not_found", "The proxy lists no such model", param="model")
            return self._refused(missing, request.scope)
        if speaks_anthropic(request.scope):
            return JSONResponse(model_object(name, self._created))
        return JSONResponse(model_objects([name], self._created)[0])


def _nothing_stored(refused: Callable[[Refusal, Scope], Response]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        words = "No response is stored here, so there is none to fetch, list, cancel or count by its ID"
        return refused(Refusal(404, "not_stored", words), request.scope)

    return endpoint


async def _health(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _metrics_of(metrics: Metrics) -> Endpoint:
    async def endpoint(_request: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    return endpoint


def _status_of(config: ProxyConfig, client: SecureCompletionClient) -> Endpoint:
    router_key = RouterKey(client)

    async def endpoint(_request: Request) -> Response:
        await router_key.refresh()
        info = get_memory_protection_info()
        return JSONResponse(
            {
                "version": __version__,
                "router": {
                    "url": client.settings.base_url,
                    "key_fingerprint": router_key.fingerprint,
                    "key_error": router_key.error,
                    "key_pinned": bool(client.settings.pins),
                },
                "models": list(config.model_names.listed),
                "security_tier": config.security_tier,
                "protections": {
                    "can_lock": info.can_lock,
                    "is_platform_secure": info.is_platform_secure,
                    "method": info.method,
                    "details": info.details,
                    "locked_memory_required": client.settings.secure_memory == "require",
                },
            }
        )

    return endpoint


def _file(file: PageFile) -> Endpoint:
    async def endpoint(_request: Request) -> Response:
        return Response(file.content, headers={"Content-Type": file.media_type})

    return endpoint


def _refusal_of(error: HTTPException) -> Refusal:
    """Return the refusal for an error of Starlette's own (404, 405)."""
    if error.status_code == 404:
        offered = f"POST {', '.join(_FORMS)} and GET {_MODELS}"
        return Refusal(404, "unknown_path", f"The proxy offers {offered}, not this path")
    return Refusal(error.status_code, "method_not_allowed", "The proxy does not offer this method here")
