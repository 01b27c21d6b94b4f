"""Whole HTTP answers in OpenAI's form: a completion, as JSON or as a stream, or an error."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .._api_form import Answer, UnfitAnswerError
from .._finite_json import utf8_json
from .error import UNWRITABLE_WORDS, error_object
from .event_stream import streamed

_JSON: Final = {"Content-Type": "application/json"}
# The header says that the whole answer existed before its first chunk, so that nobody takes the stream for incremental.
_STREAM: Final = {"Content-Type": "text/event-stream; charset=utf-8", "X-Nomyo-Stream": "complete"}


class UnwritableAnswerError(UnfitAnswerError):
    """A completion cannot be written as JSON. The message shows no content."""


def completion_answer(completion: Mapping[str, Any], *, stream: bool, include_usage: bool) -> Answer:
    """Return a completion as JSON, or as a stream of server-sent events, which are made as they are read.

    Args:
        completion: A whole chat completion. It must not change until the last piece of a stream is read.
        stream: Whether the caller wants a stream.
        include_usage: Whether a last chunk of the stream gives the usage.

    Raises:
        UnstreamableError: The completion cannot be a stream.
        UnwritableAnswerError: The completion cannot be written as JSON.
    """
    if stream:
        return stream_answer(lambda: streamed(completion, include_usage))
    return json_answer(lambda: completion)


def json_answer(make: Callable[[], Mapping[str, Any]]) -> Answer:
    """Return what a function makes, as JSON.

    Raises:
        UnfitAnswerError: As from the function; or an `UnwritableAnswerError`: it cannot be written as JSON.
    """
    return _written(_JSON, lambda: utf8_json(make()))


def stream_answer(make: Callable[[], Iterator[bytes]]) -> Answer:
    """Return the server-sent events that a function makes.

    Raises:
        UnfitAnswerError: As from the function; or an `UnwritableAnswerError`: the first of them cannot be written.
    """
    return _written(_STREAM, make)


def _written(headers: Mapping[str, str], make: Callable[[], bytes | Iterator[bytes]]) -> Answer:
    try:
        return Answer(200, {**headers}, make())
    except UnfitAnswerError:
        raise
    except ValueError:  # an integer of more digits than Python writes (sys.set_int_max_str_digits)
        pass
    raise UnwritableAnswerError(UNWRITABLE_WORDS)


def error_answer(
    status: int,
    message: str,
    headers: Mapping[str, str],
    *,
    param: str | None = None,
    code: str | None = None,
    named: Mapping[str, Any] | None = None,
) -> Answer:
    """Return an error as JSON.

    Args:
        status: 400 or above.
        message: For people.
        headers: Beside the content type.
        param: The field of the request that is meant.
        code: One word for programs.
        named: What a server named in its own error (`named_in`), in place of `type`, `param` and `code`.
    """
    error = {"error": error_object(status, message, param=param, code=code, named=named)}
    return Answer(status, {**_JSON, **headers}, utf8_json(error))
