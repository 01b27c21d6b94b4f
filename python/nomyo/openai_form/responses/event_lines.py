"""The events of a response as server-sent events.

An event that repeats the request's tools, or ends a long item, can be longer than line readers take (see `chunks`). Its
data is then in several lines, which readers join by line ends; these stand between two values, where JSON allows them.
Only a value that is one long text has a line of its own, however long: the API has it whole in its last events.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final

from ..._finite_json import utf8_json
from ..error import UNWRITABLE_CODE, UNWRITABLE_WORDS
from ..event_stream import in_pieces
from .events import events_of

LINE_BYTES: Final = 48 * 1024


def streamed_response(response: Mapping[str, Any]) -> Iterator[bytes]:
    """Return a response as server-sent events, in pieces that are made as they are read.

    If something after the first piece cannot be written as JSON, the stream ends with an `error` event.

    Args:
        response: As for `events_of`. The events are numbered from 0.

    Raises:
        ValueError: As from `utf8_json`, for the first piece.
    """
    numbers = count()
    return in_pieces(_as_sse(events_of(response, numbers)), lambda: _last_event(next(numbers)))


def _as_sse(events: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    for event in events:
        lines = b"".join(b"data: " + line + b"\n" for line in _lines(event))
        yield b"event: " + event["type"].encode() + b"\n" + lines + b"\n"


def _lines(event: Mapping[str, Any]) -> Iterator[bytes]:
    whole = utf8_json(event)
    if len(whole) <= LINE_BYTES:
        yield whole
        return
    run = bytearray()
    # With an indent, each value is in a line of its own; a line end within a text is written as an escape.
    for line in utf8_json(event, indent=0).split(b"\n"):
        if run and len(run) + len(line) > LINE_BYTES:
            yield bytes(run)
            run.clear()
        run += line
    yield bytes(run)


def _last_event(number: int) -> bytes:
    error = {
        "type": "error",
        "sequence_number": number,
        "code": UNWRITABLE_CODE,
        "message": UNWRITABLE_WORDS,
        "param": None,
    }
    return b"event: error\ndata: " + utf8_json(error) + b"\n\n"
