"""`POST /v1/chat/completions`: one request in clear from this machine, sealed from here on."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from nomyo import ChatCompletionResponse, SecureCompletionClient
from nomyo._core import new_payload_id
from nomyo.chat_body import ChatBody
from nomyo.chunks import as_sse, chunks_of
from nomyo.serve.body import BodyTooLargeError, BodyTooSlowError, read_body
from nomyo.serve.log import log_without_message
from nomyo.serve.proxy.chat_request import check_head, read_chat_request
from nomyo.serve.proxy.config import ProxyConfig
from nomyo.serve.proxy.failures import refusal_for, stopping
from nomyo.serve.proxy.places import Places
from nomyo.serve.proxy.refusal import Refusal

T = TypeVar("T")
_log = logging.getLogger("nomyo.proxy")
# The whole answer is there before its first chunk is: nobody should take it for a stream that grows.
_NOT_INCREMENTAL: Final = {"X-Nomyo-Stream": "complete"}


class Completions:
    """The endpoint, as an ASGI application.

    Args:
        config: The proxy's settings.
        client: Sends the requests.
        places: Bounds them.
        refused: Makes the answer to those that are not served.
    """

    def __init__(
        self,
        config: ProxyConfig,
        client: SecureCompletionClient,
        places: Places,
        refused: Callable[[Refusal], Response],
    ) -> None:
        self._config = config
        self._client = client
        self._places = places
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; it keeps its place until the caller has the answer."""
        request = Request(scope, receive)
        try:
            with self._places.place():
                response = await self._response(request)
                await response(scope, receive, _until_taken(send))
        except Refusal as refusal:
            await self._refused(refusal)(scope, receive, send)
        except asyncio.CancelledError:
            return  # the grace at the stop is over, and the caller has not taken its answer yet

    async def _response(self, request: Request) -> Response:
        try:
            check_head(request.headers)
            asked = read_chat_request(await self._body(request), request.headers, self._config.security_tier)
            return _told(await unless_gone(request, self._answer(asked)), asked)
        except Refusal as refusal:
            return self._refused(refusal)
        except ClientDisconnect:
            return self._refused(Refusal(499, "caller_gone", "The caller went away"))  # nobody reads it: for the log
        except asyncio.CancelledError:  # the grace at the stop is over, and nobody else cancels
            return self._refused(stopping())
        except Exception as error:  # noqa: BLE001 - whatever it is, its words and traceback must not reach the log
            return self._refused(_refusal_of(error))

    async def _body(self, request: Request) -> bytes:
        limit_bytes = self._config.max_body_bytes
        try:
            return await read_body(request, limit_bytes, self._config.body_timeout_s)
        except BodyTooLargeError:
            refusal = Refusal(413, "request_too_large", f"The request may have {limit_bytes} bytes at most")
        except BodyTooSlowError:
            refusal = Refusal(408, "request_timeout", "The request's body took too long to arrive")
        raise refusal

    async def _answer(self, asked: ChatBody) -> ChatCompletionResponse:
        async with self._places.turn():
            return await self._client.send_secure_request(
                asked.payload, new_payload_id(), security_tier=asked.security_tier
            )


def _until_taken(send: Send) -> Send:
    """Return a `send` whose last part of a body goes out when the caller has taken what came before.

    A server waits at the beginning of a part, so that an answer of one part would be as good as gone at once.
    """

    async def sending(message: Message) -> None:
        if message["type"] != "http.response.body" or message.get("more_body"):
            await send(message)
            return
        await send({**message, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return sending


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what the work returns; where the caller goes away meanwhile, cancel it.

    Raises:
        ClientDisconnect: The caller went away.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _told(answer: ChatCompletionResponse, asked: ChatBody) -> Response:
    try:
        if asked.stream:
            events = b"".join(as_sse(chunks_of(answer, asked.include_usage)))
            return Response(events, media_type="text/event-stream", headers=_NOT_INCREMENTAL)
        content = json.dumps(answer, separators=(",", ":")).encode("ascii")
        return Response(content, media_type="application/json")
    except ValueError:  # an integer of more digits than Python writes (sys.set_int_max_str_digits)
        pass
    raise Refusal(502, "unwritable_answer", "The router's answer cannot be written as JSON", retried=True)


def _refusal_of(error: Exception) -> Refusal:
    refusal = refusal_for(error)
    if refusal is not None:
        return refusal
    log_without_message(_log, error)
    return Refusal(500, "internal_error", "A fault in the proxy")
