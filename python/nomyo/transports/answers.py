"""What the HTTP client in front of a transport gets: answers in the form that OpenAI's server would give them.

- A refusal of the router, and a mistake in the request, is an HTTP answer with that status and OpenAI's error object.
- A failure of the network is the HTTP library's own exception, as a transport of its own would raise it.
- Whatever makes it unsafe to go on is an exception of ours. The OpenAI SDK retries and hides what it does not know;
  so where it is loaded, ours is one of its own errors too, which it hands on at once.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from ..chunks import as_sse, chunks_of
from ..error_kinds import error_kind
from ..errors import APIConnectionError, APIError

_STREAM: Final = {"Content-Type": "text/event-stream; charset=utf-8", "X-Nomyo-Stream": "complete"}
_JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True, repr=False)
class Answer:
    """An HTTP answer, before it is one of an HTTP library's."""

    status: int
    headers: dict[str, str]
    body: bytes

    def as_response(self, request: httpx.Request) -> httpx.Response:
        """Return it as a response of the library that the request is of."""
        response: httpx.Response = library_of(request).Response(
            self.status, headers=self.headers, content=self.body, request=request
        )
        return response


def library_of(request: object) -> Any:
    """Return the HTTP library that a request is of: httpx, or httpx2, which has the same names."""
    httpx2 = sys.modules.get("httpx2")
    return httpx2 if httpx2 is not None and isinstance(request, httpx2.Request) else httpx


def whole_answer(completion: Mapping[str, Any], request_id: str) -> Answer:
    """Return a completion as JSON."""
    return Answer(200, {**_JSON, "X-Request-ID": request_id}, json.dumps(completion).encode("ascii"))


def streamed_answer(completion: Mapping[str, Any], request_id: str, *, include_usage: bool) -> Answer:
    """Return a completion as a stream of server-sent events, all of which are there at once."""
    return Answer(200, {**_STREAM, "X-Request-ID": request_id}, b"".join(as_sse(chunks_of(completion, include_usage))))


def unwritable_answer(request_id: str) -> Answer:
    """Return the answer where a completion cannot be written as JSON; asking again would bring the same, and a bill."""
    error = {"message": "the router's answer cannot be written as JSON", "code": "unwritable_answer"}
    return _error_answer(502, error, {"X-Request-ID": request_id, "X-Should-Retry": "false"})


def refusal(status: int, words: str) -> Answer:
    """Return the answer to a request that is not sent on; it would not fare better a second time."""
    return _error_answer(status, {"message": f"{words}; nothing was sent"}, {"X-Should-Retry": "false"})


def answer_for(error: Exception, request_id: str) -> Answer | None:
    """Return the answer that an error of the exchange stands for; None where it must be raised."""
    if isinstance(error, (TypeError, ValueError)):
        return refusal(400, str(error))
    if isinstance(error, APIError):
        return _answer_of_router(error, request_id)
    return None


def raised_for(error: Exception, request: httpx.Request) -> Exception:
    """Return the exception that an error of the exchange becomes."""
    if not isinstance(error, APIConnectionError):
        return _known_to_sdk(error)
    library = library_of(request)
    kind = library.ReadTimeout if error.timed_out else library.ConnectError
    failure: Exception = kind(str(error), request=request)
    return failure


def _answer_of_router(error: APIError, request_id: str) -> Answer:
    headers = {"X-Request-ID": request_id}
    if error.retry_after is not None:
        headers["Retry-After"] = error.retry_after
    status = error.status_code
    if status is None or status < 400:  # no completion, whatever it is: a client must not take it for one
        status = 502
        headers["X-Should-Retry"] = "false"
    return _error_answer(status, {"message": error.message, **_named(error.error_details)}, headers)


def _named(details: object) -> dict[str, str]:
    """Return what the router's own error object, where it sent one, says beside its message."""
    given = details.get("error") if isinstance(details, dict) else None
    if not isinstance(given, dict):
        return {}
    return {name: given[name] for name in ("type", "param", "code") if isinstance(given.get(name), str)}


def _error_answer(status: int, error: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
    body = {"error": {"message": "", "type": error_kind(status), "param": None, "code": None, **error}}
    return Answer(status, {**_JSON, **headers}, json.dumps(body).encode("ascii"))


def _known_to_sdk(error: Exception) -> Exception:
    openai = sys.modules.get("openai")
    if openai is None:
        return error
    arguments = (error.errno, error.strerror, error.filename) if isinstance(error, OSError) else error.args
    known: Exception = _class_of_both(type(error), openai.OpenAIError)(*arguments)
    return known


def _class_of_both(ours: type[Exception], theirs: type[Exception]) -> type[Exception]:
    """Return a class that is both errors; what is pickled is ours alone."""

    def reduce(error: Exception) -> tuple[type[Exception], tuple[Any, ...]]:
        return ours, error.args

    return type(ours.__name__, (ours, theirs), {"__module__": ours.__module__, "__reduce__": reduce})
