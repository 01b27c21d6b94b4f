"""Reads a request's body, bounded in size and time, whatever its headers say."""

from __future__ import annotations

import anyio
from starlette.requests import Request


class BodyTooLargeError(Exception):
    """The body is longer than allowed, or says that it will be."""


class BodyTooSlowError(Exception):
    """The body did not arrive in time."""


async def read_body(request: Request, limit_bytes: int, timeout_s: float) -> bytes:
    """Return a request's body.

    Args:
        request: The request.
        limit_bytes: The largest size. Arriving bytes are counted; `Content-Length` only allows an earlier refusal.
        timeout_s: Seconds within which all of it must have arrived.

    Raises:
        BodyTooLargeError, BodyTooSlowError: See there.
        ClientDisconnect: The client went away.
    """
    declared = request.headers.get("Content-Length", "0")
    if declared.isdigit() and int(declared) > limit_bytes:
        raise BodyTooLargeError
    body = bytearray()
    with anyio.move_on_after(timeout_s) as deadline:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit_bytes:
                raise BodyTooLargeError
    if deadline.cancelled_caught:
        raise BodyTooSlowError
    return bytes(body)
