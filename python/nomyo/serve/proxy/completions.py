"""Takes a request in clear from this machine, in one of the forms that programs speak, and seals it for the router."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Generic, TypeVar, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from nomyo import ChatCompletionResponse, SecureCompletionClient
from nomyo._api_form import LEFT_OUT_HEADER, Answer, ApiForm, FormRequest, RequestT, UnfitAnswerError
from nomyo._core import new_payload_id
from nomyo._warn import log_named
from nomyo.exchange.protocol import SecurityTier
from nomyo.openai_form.answer import UnwritableAnswerError
from nomyo.openai_form.error import UNWRITABLE_CODE
from nomyo.serve.body import BodyTooLargeError, BodyTooSlowError, read_body
from nomyo.serve.log import log_without_message
from nomyo.serve.proxy.config import ProxyConfig
from nomyo.serve.proxy.failures import refusal_for, stopping
from nomyo.serve.proxy.form_request import check_head, read_form_request
from nomyo.serve.proxy.refusal import Refusal
from nomyo.serve.proxy.slots import Slots

T = TypeVar("T")
_log = log_named("nomyo.proxy")


class Completions(Generic[RequestT]):
    """An endpoint, as an ASGI application.

    Args:
        config: The proxy's settings.
        client: Sends the requests.
        slots: Bounds how many requests there are, at all such endpoints together.
        form: The form that its callers speak.
        refused: Makes the answer to a request that is not served.
    """

    def __init__(
        self,
        config: ProxyConfig,
        client: SecureCompletionClient,
        slots: Slots,
        form: ApiForm[RequestT],
        refused: Callable[[Refusal, Scope], Response],
    ) -> None:
        self._config = config
        self._client = client
        self._slots = slots
        self._form = form
        self._refused = refused
        self._names = config.model_names
        self._told: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. It is counted in `slots` until the caller has the answer."""
        request = Request(scope, receive)
        try:
            with self._slots.admit():
                response = await self._response(request)
                await response(scope, receive, _until_taken(send))
        except Refusal as refusal:
            await self._refused(refusal, scope)(scope, receive, send)
        except asyncio.CancelledError:
            return  # the proxy stops, its grace period is over, and the caller has not read its answer yet

    async def _response(self, request: Request) -> Response:
        try:
            check_head(request, self._form)
            body = await self._body(request)
            read = read_form_request(self._form, body, request.headers, self._config.security_tier)
            self._tell_left_out(read)
            return self._as_response(await unless_gone(request, self._completion(read)), read)
        except Refusal as raised:
            refusal = raised
        except ClientDisconnect:
            refusal = Refusal(499, "caller_gone", "The caller went away")  # nobody reads it: for the log
        except asyncio.CancelledError:  # the proxy stops and its grace period is over; nobody else cancels
            refusal = stopping()
        except Exception as error:  # noqa: BLE001 - no message or traceback may reach the log
            refusal = _refusal_of(error)
        return self._refused(refusal, request.scope)

    async def _body(self, request: Request) -> bytes:
        limit_bytes = self._config.max_body_bytes
        try:
            return await read_body(request, limit_bytes, self._config.body_timeout_s)
        except BodyTooLargeError:
            refusal = Refusal(413, "request_too_large", f"The request may have {limit_bytes} bytes at most")
        except BodyTooSlowError:
            refusal = Refusal(408, "request_timeout", "The request's body took too long to arrive")
        raise refusal

    async def _completion(self, read: FormRequest) -> ChatCompletionResponse:
        async with self._slots.slot():
            tier = cast(SecurityTier | None, read.security_tier)  # checked when the body was read
            payload = {**read.payload, "model": self._names.model_for(read.payload["model"])}
            return await self._client.send_secure_request(payload, new_payload_id(), security_tier=tier)

    def _tell_left_out(self, read: FormRequest) -> None:
        """Log each kind of tool that is left out, once while the proxy runs: an agent offers it in each request."""
        for kind in read.left_out:
            if kind not in self._told:
                self._told.add(kind)
                _log.warning("left out: the tool %s, which only another server has", kind)

    def _as_response(self, completion: ChatCompletionResponse, read: RequestT) -> Response:
        try:
            answer = self._form.answer(completion, read)
        except UnwritableAnswerError:
            words = "The router's answer cannot be written as JSON"
        except UnfitAnswerError as error:
            words = f"The answer cannot be given: {error}"
        else:
            return _starlette_response(answer, read)
        raise Refusal(502, UNWRITABLE_CODE, words, retried=True)


def _until_taken(send: Send) -> Send:
    """Return a `send` that holds the last part of a body back until the caller has read the earlier parts.

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
    """Return the result of the work; cancel it if the caller goes away meanwhile.

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


def _starlette_response(answer: Answer, read: FormRequest) -> Response:
    headers = {**answer.headers}
    if read.left_out:
        headers[LEFT_OUT_HEADER] = ", ".join(read.left_out)
    if isinstance(answer.body, bytes):
        return Response(answer.body, answer.status, headers=headers)
    return StreamingResponse(_in_turn(answer.body), answer.status, headers=headers)


async def _in_turn(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield the pieces of a stream. Making a piece takes time, so other tasks run between two pieces."""
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


def _refusal_of(error: Exception) -> Refusal:
    refusal = refusal_for(error)
    if refusal is not None:
        return refusal
    log_without_message(_log, error)
    return Refusal(500, "internal_error", "A fault in the proxy")
