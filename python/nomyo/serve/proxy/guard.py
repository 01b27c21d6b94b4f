"""Lets in only requests that are meant for the proxy, and adds headers by which browsers keep other pages out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from nomyo.serve.bearer import BearerTokens, authorization_of
from nomyo.serve.connections import note_token
from nomyo.serve.proxy.hosts import Hosts
from nomyo.serve.proxy.refusal import Refusal

# For answers of the API they change nothing, so that no path can be forgotten.
HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';"
    " img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware that checks name, origin and token of each request.

    Args:
        app: The application behind it.
        hosts: The names and origins that are accepted.
        tokens: The token, if one is needed.
        open_paths: The paths that need no token.
        refused: Makes the answer to a request that is refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Hosts,
        tokens: BearerTokens,
        open_paths: Collection[str],
        refused: Callable[[Refusal, Scope], Response],
    ) -> None:
        self._app = app
        self._hosts = hosts
        self._tokens = tokens
        self._open_paths = open_paths
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before its body is read."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        app = self._app
        try:
            self._check(scope)
        except Refusal as refusal:
            app = self._refused(refusal, scope)
        await app(scope, receive, send_with_headers)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        self._hosts.check(headers, scope["server"][1])
        if scope["path"] in self._open_paths:
            return
        if not self._tokens.admit(_authorization(headers)):
            words = "The proxy's token is missing or wrong: it is the one that nomyo proxy was given, or printed"
            raise Refusal(401, "invalid_token", words)
        note_token(scope)


def _authorization(headers: Headers) -> str | None:
    """Return a request's `Authorization`, or the one that its `x-api-key` stands for: Anthropic's programs send that.

    Raises:
        Refusal: Both are given, and say different tokens.
    """
    authorization = authorization_of(headers)
    keys = [f"Bearer {key.strip()}" for key in headers.getlist("x-api-key")]
    if not keys:
        return authorization
    given = headers.getlist("Authorization")
    if len(keys) > 1 or given not in ([], keys):
        raise Refusal(401, "two_tokens", "Authorization and x-api-key must not say different tokens, nor several")
    return keys[0]
