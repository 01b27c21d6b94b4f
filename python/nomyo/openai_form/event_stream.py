"""Writes a whole answer as server-sent events, one piece after the other.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html; `[DONE]` is OpenAI's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Final

from .._finite_json import utf8_json
from .chunks import chunks_of
from .error import UNWRITABLE_CODE, UNWRITABLE_WORDS, error_object

# Events are collected into pieces, because each piece is sent by a system call of its own.
_PIECE_BYTES: Final = 64 * 1024


def streamed(response: Mapping[str, Any], include_usage: bool) -> Iterator[bytes]:
    """Return a chat completion as server-sent events, in pieces that are made as they are read.

    If something after the first piece cannot be written as JSON, the stream ends with an error, as OpenAI's servers do.

    Args:
        response: As for `chunks_of`. It must not change until the last piece is made.
        include_usage: As for `chunks_of`.

    Raises:
        ValueError: As from `chunks_of`, for the first piece.
    """
    return in_pieces(as_sse(chunks_of(response, include_usage)), _last_chunk)


def in_pieces(events: Iterable[bytes], last_of_unwritable: Callable[[], bytes]) -> Iterator[bytes]:
    """Return events in pieces of a useful size, which are made as they are read.

    Args:
        events: Server-sent events.
        last_of_unwritable: Makes the event that ends the stream if something after the first piece cannot be written.

    Raises:
        ValueError: As from the events of the first piece.
    """
    pieces = _joined_events(events)
    return chain([next(pieces)], _to_the_end(pieces, last_of_unwritable))


def as_sse(chunks: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield chunks as server-sent events, and the mark that ends a stream."""
    for chunk in chunks:
        yield b"data: " + utf8_json(chunk) + b"\n\n"
    yield b"data: [DONE]\n\n"


def _joined_events(events: Iterable[bytes]) -> Iterator[bytes]:
    piece = bytearray()
    for event in events:
        piece += event
        if len(piece) >= _PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    yield bytes(piece)


def _to_the_end(pieces: Iterator[bytes], last_of_unwritable: Callable[[], bytes]) -> Iterator[bytes]:
    try:
        yield from pieces
    except ValueError:  # an integer of more digits than Python writes (sys.set_int_max_str_digits)
        yield last_of_unwritable()


def _last_chunk() -> bytes:
    error = error_object(502, UNWRITABLE_WORDS, code=UNWRITABLE_CODE)
    return b"data: " + utf8_json({"error": error}) + b"\n\n"
