"""What goes wrong in the HTTP library, and how to say it in words that hold nothing of the request."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator

import aiohttp
import httpx

from ..effects import NetworkFailure

# aiohttp's own errors pass through httpx-aiohttp where it has no counterpart, for malformed HTTP
# above all; ValueError comes from what cannot even be parsed.
FAILURES = (
    httpx.HTTPError,
    httpx.StreamError,
    httpx.InvalidURL,
    aiohttp.ClientError,
    OSError,
    EOFError,
    ValueError,
    ImportError,  # of what a proxy of another kind would need
)


def failure_of(error: BaseException) -> NetworkFailure:
    """Say why there was no answer, in words that hold nothing of the request."""
    return NetworkFailure(_reason_of(error), _is_timeout(error), _was_connected(error))


def _reason_of(error: BaseException) -> str:
    causes = [cause for cause in _chain(error) if not isinstance(cause, aiohttp.ClientError)]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate was refused: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason}"
        if isinstance(cause, socket.gaierror):
            return f"the host's name was not found: {cause.strerror}"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    if _is_timeout(error):
        return "timed out"
    return f"the connection failed or was closed ({type(error).__name__})"


def _is_timeout(error: BaseException) -> bool:
    """Tell a timeout from what httpx-aiohttp calls one: it makes a ConnectTimeout of every ClientConnectionError."""
    causes = list(_chain(error))
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return True
    from_aiohttp = any(isinstance(cause, aiohttp.ClientConnectionError) for cause in causes)
    return isinstance(error, httpx.TimeoutException) and not from_aiohttp


def _was_connected(error: BaseException) -> bool:
    """Tell what failed before there was a connection; aiohttp says so itself, see `_is_timeout`."""
    causes = list(_chain(error))
    if any(isinstance(cause, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)) for cause in causes):
        return False
    from_aiohttp = any(isinstance(cause, aiohttp.ClientError) for cause in causes)
    return from_aiohttp or not isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
