"""Makes the answers for the HTTP client in front of a transport, in the form that its caller speaks.

- A refusal of the router, or a mistake in the request, becomes an HTTP answer with that status and the form's error
  object.
- A failure of the network becomes the HTTP library's own exception, as one of its own transports would raise it.
- If going on is not safe, or only a change on this machine helps, our own exception is raised. The SDKs of OpenAI and
  Anthropic retry and hide exceptions that they do not know. So if one of them is loaded, ours is also an error of that
  SDK, which it raises at once.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, Final

import httpx

from .._api_form import LEFT_OUT_HEADER, Answer, ApiForm, RequestT, UnfitAnswerError
from ..errors import APIConnectionError, APIError, ConfigurationError
from ..openai_form.error import UNWRITABLE_CODE, named_in

_ROOTS_OF_ERRORS: Final = {"openai": "OpenAIError", "anthropic": "AnthropicError"}


def response_of(answer: Answer, request: httpx.Request) -> httpx.Response:
    """Return an answer as a response of the library that the request is of."""
    library = library_of(request)
    whole = isinstance(answer.body, bytes)
    body = {"content": answer.body} if whole else {"stream": _stream_class(library)(answer.body)}
    response: httpx.Response = library.Response(answer.status, headers=answer.headers, request=request, **body)
    return response


def library_of(request: object) -> Any:
    """Return the HTTP library that a request came from: httpx, or httpx2, which has the same names."""
    httpx2 = sys.modules.get("httpx2")
    return httpx2 if httpx2 is not None and isinstance(request, httpx2.Request) else httpx


@cache
def _stream_class(library: Any) -> type[Any]:
    """Return a stream class for an HTTP library, which gives the pieces of a body to its sync and its async client."""

    class Pieces(library.SyncByteStream, library.AsyncByteStream):  # type: ignore[misc]
        def __init__(self, pieces: Iterator[bytes]) -> None:
            self._pieces = pieces

        def __iter__(self) -> Iterator[bytes]:
            return self._pieces

        async def __aiter__(self) -> AsyncIterator[bytes]:
            for piece in self._pieces:
                yield piece
                await asyncio.sleep(0)  # making a piece takes time, so other tasks run between two pieces

        def close(self) -> None:
            self._pieces = iter(())  # drops the answer

        async def aclose(self) -> None:
            self.close()

    return Pieces


def answer_with(completion: Mapping[str, Any], request_id: str, form: ApiForm[RequestT], read: RequestT) -> Answer:
    """Return a completion in the form that its caller wants; if it cannot be written so, an error."""
    try:
        answer = form.answer(completion, read)
    except UnfitAnswerError as error:
        # Asking again would bring the same, and a bill.
        headers = {"X-Request-ID": request_id, "X-Should-Retry": "false"}
        return form.refusal(502, str(error), headers, code=UNWRITABLE_CODE)
    left_out = {LEFT_OUT_HEADER: ", ".join(read.left_out)} if read.left_out else {}
    return replace(answer, headers={**answer.headers, **left_out, "X-Request-ID": request_id})


def refusal(form: ApiForm[Any], status: int, words: str, *, param: str | None = None) -> Answer:
    """Return the answer to a request that is not sent on. Another attempt would be refused, too."""
    return form.refusal(status, f"{words}; nothing was sent", {"X-Should-Retry": "false"}, param=param)


def answer_for(error: Exception, request_id: str, form: ApiForm[Any]) -> Answer | None:
    """Return the answer for an error of the exchange; None if an exception must be raised instead."""
    if isinstance(error, (TypeError, ValueError)):
        return refusal(form, 400, str(error))
    if isinstance(error, APIError):
        return _answer_of_router(error, request_id, form)
    return None


def exception_for(error: Exception, request: httpx.Request) -> Exception:
    """Return the exception that an error of the exchange becomes."""
    if not isinstance(error, APIConnectionError) or isinstance(error, ConfigurationError):
        return _known_to_sdk(error)
    library = library_of(request)
    kind = library.ReadTimeout if error.timed_out else library.ConnectError
    failure: Exception = kind(str(error), request=request)
    return failure


def _answer_of_router(error: APIError, request_id: str, form: ApiForm[Any]) -> Answer:
    headers = {"X-Request-ID": request_id}
    if error.retry_after is not None:
        headers["Retry-After"] = error.retry_after
    status = error.status_code
    if status is None or status < 400:  # no completion, whatever it is: a client must not take it for one
        status = 502
        headers["X-Should-Retry"] = "false"
    return form.refusal(status, error.message, headers, named=named_in(error.error_details))


def _known_to_sdk(error: Exception) -> Exception:
    roots = tuple(
        getattr(sys.modules[sdk], root) for sdk, root in _ROOTS_OF_ERRORS.items() if hasattr(sys.modules.get(sdk), root)
    )
    if not roots:
        return error
    arguments = (error.errno, error.strerror, error.filename) if isinstance(error, OSError) else error.args
    known: Exception = _class_of_all(type(error), roots)(*arguments)
    return known


def _class_of_all(ours: type[Exception], theirs: tuple[type[Exception], ...]) -> type[Exception]:
    """Return a class that derives from all these errors. It is pickled as ours alone."""

    def reduce(error: Exception) -> tuple[type[Exception], tuple[Any, ...]]:
        return ours, error.args

    return type(ours.__name__, (ours, *theirs), {"__module__": ours.__module__, "__reduce__": reduce})
