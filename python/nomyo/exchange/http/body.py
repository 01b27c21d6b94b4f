"""A response read within its bounds: of size, time and encoding."""

from __future__ import annotations

import math
import time

import httpx

from ..effects import Request, Response
from ..protocol import ERROR_LIMIT_BYTES


class Body:
    """Collects a response within its bounds."""

    def __init__(self, request: Request, response: httpx.Response, timeout_s: float | None) -> None:
        self._status = response.status_code
        self._retry_after = response.headers.get("retry-after")
        self._limit_bytes = request.response_limit_bytes if self._status == 200 else ERROR_LIMIT_BYTES
        self._deadline = math.inf if timeout_s is None else time.monotonic() + timeout_s
        self._chunks: list[bytes] = []
        self._size_bytes = 0
        self.fault = self._fault_of(response)
        # The caller's own transport or event hook may have read the body already.
        was_read = response.is_stream_consumed
        if was_read and self.fault is None:
            self.take(response.content)
        self.wants_stream = self.fault is None and not was_read

    def _fault_of(self, response: httpx.Response) -> str | None:
        if response.headers.get("content-encoding", "identity").strip().lower() not in ("", "identity"):
            return "its body is compressed"
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > self._limit_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> str:
        return f"its body is larger than {self._limit_bytes} bytes"

    def take(self, chunk: bytes) -> bool:
        """Keep a chunk; return whether to read on.

        Raises:
            httpx.ReadTimeout: The body did not end in time.
        """
        self._size_bytes += len(chunk)
        if self._size_bytes > self._limit_bytes:
            self.fault = self._too_large()
            return False
        if time.monotonic() > self._deadline:
            raise httpx.ReadTimeout("the body did not end in time")
        self._chunks.append(chunk)
        return True

    def response(self) -> Response:
        """Return what was read; nothing of a body with a fault."""
        body = b"" if self.fault else b"".join(self._chunks)
        return Response(self._status, body, self._retry_after, self.fault)
