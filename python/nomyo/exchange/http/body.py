"""A response read within its bounds: of size, time and encoding."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from ..effects import Request, Response
from ..limit_headers import DATE, NAMES
from ..protocol import ERROR_LIMIT_BYTES
from ..retries import in_seconds
from .credentials import credentials_in

if TYPE_CHECKING:
    import httpx

RawHeaders: TypeAlias = Collection[tuple[bytes, bytes]]
Fields: TypeAlias = dict[bytes, bytes]
"""Headers by their names in lower case; of those that came several times, all values as one."""

HEAD_LIMIT_BYTES = 64 * 1024
HEAD_LIMIT_FIELDS = 100
INTERIM_LIMIT = 100
"""How many interim answers (1xx) may come before the final one: servers send one or two, or one every few seconds."""
NO_WHOLE_ANSWER = "the connection ended without a whole answer in HTTP"
"""Also said if what came is not HTTP at all: only the libraries' own words, which change, tell the two apart."""
RATE_HEADERS = frozenset(name.encode() for name in NAMES)
_RATE_HEADER_LIMIT = 40
_NO_RATE_HEADERS: Mapping[str, str] = {}
_SWITCHING = 101
_CHUNKED = b"chunked"


class HeadError(ValueError):
    """The headers are not those of an answer that we accept."""


class OversizedHeadError(HeadError):
    """The headers are beyond our bounds, which are narrower than those of the HTTP libraries."""

    words = f"the answer has more than {HEAD_LIMIT_FIELDS} headers, or more than {HEAD_LIMIT_BYTES} bytes of them"


class TooManyInterimsError(HeadError):
    """More interim answers came than servers send."""

    def __init__(self) -> None:
        super().__init__(f"more than {INTERIM_LIMIT} interim answers (HTTP 1xx) came before the answer")


class LateBodyError(Exception):
    """The body did not end in time. No `TimeoutError`: that may also be the exception of a signal's handler."""


class Body:
    """Collects a response within its bounds."""

    def __init__(self, request: Request, status: int, raw_headers: RawHeaders, timeout_s: float | None = None) -> None:
        """Begin to collect.

        Raises:
            HeadError: The headers are beyond their bounds, or leave unclear where the answer ends.
        """
        fields = _fields(raw_headers)
        _check_end(status, fields)
        self._status = status
        self._retry_after = _retry_after(fields, raw_headers)
        self._rate_headers = _NO_RATE_HEADERS if RATE_HEADERS.isdisjoint(fields) else _rate_headers(fields, raw_headers)
        self._limit_bytes = request.response_limit_bytes if status == 200 else ERROR_LIMIT_BYTES
        self._deadline = None if timeout_s is None else time.monotonic() + timeout_s
        self._chunks: list[bytes] = []
        self._size_bytes = 0
        self._credentials: tuple[str, ...] = ()
        self.fault = self._fault_of(fields)

    def _fault_of(self, fields: Fields) -> str | None:
        if (_value(fields, b"content-encoding") or "identity").strip().lower() != "identity":
            return "its body is compressed"
        announced = _value(fields, b"content-length") or ""
        if announced.isdecimal() and int(announced[:20]) > self._limit_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> str:
        return f"its body is larger than {self._limit_bytes} bytes"

    def take(self, chunk: bytes) -> bool:
        """Keep a chunk; return whether to read on.

        Raises:
            LateBodyError: The body did not end in time.
        """
        self._size_bytes += len(chunk)
        if self._size_bytes > self._limit_bytes:
            self.fault = self._too_large()
            return False
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise LateBodyError
        self._chunks.append(chunk)
        return True

    def response(self) -> Response:
        """Return what was read; nothing of a body with a fault."""
        body = b"" if self.fault else b"".join(self._chunks)
        return Response(self._status, body, self._retry_after, self.fault, self._credentials, self._rate_headers)


class HttpxBody(Body):
    """Collects a response of httpx."""

    def __init__(self, request: Request, response: httpx.Response, timeout_s: float | None) -> None:
        super().__init__(request, response.status_code, response.headers.raw, timeout_s)
        self._credentials = credentials_in(response.request.headers.multi_items())
        # The caller's own transport or event hook may have read the body already.
        was_read = response.is_stream_consumed
        if was_read and self.fault is None:
            self.take(response.content)
        self.wants_stream = self.fault is None and not was_read


def answer_of(request: Request, error: httpx.HTTPStatusError) -> Response:
    """Return the response for which an event hook of the caller's client raised; with its body if the hook read it."""
    import httpx

    body = Body(request, error.response.status_code, error.response.headers.raw)
    with suppress(httpx.StreamError):
        body.take(error.response.content)
    return body.response().with_credentials(credentials_in(error.request.headers.multi_items()))


def _fields(raw_headers: RawHeaders) -> Fields:
    """Return the headers by name, once they are found within their bounds.

    Raises:
        OversizedHeadError: They are not.
    """
    size_bytes = sum(map(len, chain.from_iterable(raw_headers)))
    if len(raw_headers) > HEAD_LIMIT_FIELDS or size_bytes > HEAD_LIMIT_BYTES:
        raise OversizedHeadError(OversizedHeadError.words)
    fields: Fields = {}
    for name, value in raw_headers:
        lowered = name.lower()
        if lowered in fields:  # RFC 9110, section 5.3
            fields[lowered] += b", " + value
        else:
            fields[lowered] = value
    return fields


def _check_end(status: int, fields: Fields) -> None:
    """Refuse an answer whose end two readers may see at two different places."""
    if status == _SWITCHING:
        raise HeadError("the answer changes the protocol (HTTP 101), which nobody asked for")
    if b"transfer-encoding" in fields and b"content-length" in fields:  # RFC 9112, section 6.3
        raise HeadError("the answer has Content-Length beside Transfer-Encoding, which leaves its end unclear")
    if fields.get(b"transfer-encoding", _CHUNKED).strip().lower() != _CHUNKED:  # RFC 9112, section 6.1
        raise HeadError("the answer has a Transfer-Encoding other than chunked, which nobody asked for")


def _retry_after(fields: Fields, raw_headers: RawHeaders) -> str | None:
    """Return the seconds that the answer asks to wait for, as decimal figures; None if it asks for none."""
    asked, milliseconds = _value(fields, b"retry-after"), _value(fields, b"retry-after-ms")
    if asked is milliseconds is None:
        return None
    return in_seconds(asked, _date(raw_headers), milliseconds)


def _date(raw_headers: RawHeaders) -> str | None:
    """Return the answer's date: a server that stands before the application puts its own before the application's."""
    dates = [value for name, value in raw_headers if name.lower() == b"date"]
    return dates[-1].decode("latin-1") if dates else None


def _rate_headers(fields: Fields, raw_headers: RawHeaders) -> Mapping[str, str]:
    """Return the headers that state the service's limits, and the date; none that is longer than such a header is."""
    stated = {name.decode(): _value(fields, name) or "" for name in RATE_HEADERS & fields.keys()}
    stated[DATE] = _date(raw_headers) or ""
    return {name: value for name, value in stated.items() if len(value) <= _RATE_HEADER_LIMIT}


def _value(fields: Fields, name: bytes) -> str | None:
    """Return a header's value as text; None if it is empty or missing."""
    return fields[name].decode("latin-1") or None if name in fields else None
