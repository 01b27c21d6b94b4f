"""Turns exceptions of the HTTP libraries into failures, in words that hold nothing of the request."""

from __future__ import annotations

import os
import socket
import ssl
import sys
from collections.abc import Iterator
from typing import Any, Final

from ..effects import NetworkFailure, Phase, Response
from ..retries import RETRIED_STATUSES
from .body import NO_WHOLE_ANSWER, HeadError, LateBodyError, OversizedHeadError
from .credentials import credentials_in
from .environment import Proxy

CLOSED: Final = NetworkFailure("the client was closed", connected=False)
FAILURES = (
    LateBodyError,
    OSError,
    EOFError,
    ValueError,  # from an answer that cannot even be parsed
    ImportError,  # from a proxy of a kind that needs another package
)
_TOO_LARGE = 431  # h11's hint if headers are beyond its own bound (RFC 6585, section 5)
_OF_HTTPX: Final = ("HTTPError", "StreamError", "InvalidURL")
_OF_HTTPCORE: Final = ("NetworkError", "ProtocolError", "TimeoutException")
_BELOW: Final = ("httpcore", "h11")
_FORBIDDEN: Final = 403
_PROXY_AUTHENTICATION: Final = 407
_REQUEST_TIMEOUT: Final = 408


# What OpenSSL calls the first bytes of a peer that speaks no TLS; it depends on the version.
_ANSWERED_IN_CLEAR: Final = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
_NO_TLS_THERE: Final = "an answer without TLS came (is it http://?)"


class ProxyAwayError(Exception):
    """There was no connection to the proxy itself."""


class ProxyRefusedError(Exception):
    """The proxy answered CONNECT with a status that is no success."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class NoTunnelError(Exception):
    """The proxy ended the connection instead of answering CONNECT, or answered with what cannot be read.

    Args:
        closed: Whether it ended the connection.
    """

    def __init__(self, *, closed: bool) -> None:
        super().__init__("no answer to CONNECT")
        self.closed = closed


def is_failure(error: Exception) -> bool:
    """Return whether an exception means that no answer came; others are bugs, or the caller's own."""
    return isinstance(error, FAILURES) or _is_one(error, *_OF_HTTPX) or _broke_below(error)


def is_failure_of_ours(error: Exception) -> bool:
    """Return the same for our own sync client, in which a bare `TimeoutError`, say, is a signal handler's."""
    ours = isinstance(error, (HeadError, LateBodyError, NoTunnelError, ProxyAwayError, ProxyRefusedError))
    return ours or _is_one(error, *_OF_HTTPCORE, "InvalidURL") or _broke_below(error)


def _is_one(error: BaseException, *names: str) -> bool:
    """Return whether an exception is one of those with these names, which httpx and httpcore share.

    Nobody waits for the import of a library to learn that it raised nothing.
    """
    loaded: list[Any] = [sys.modules[name] for name in ("httpx", "httpcore") if name in sys.modules]
    return isinstance(
        error, tuple(getattr(library, name) for library in loaded for name in names if hasattr(library, name))
    )


def _broke_below(error: Exception) -> bool:
    """Return whether a broken connection of httpcore or h11 raised it: a failed assertion, an impossible state."""
    trace, module = error.__traceback__, ""
    while trace is not None:
        module, trace = trace.tb_frame.f_globals.get("__name__", ""), trace.tb_next
    return _root(module) in _BELOW and _root(type(error).__module__) in ("builtins", *_BELOW)


def _root(module: str) -> str:
    return module.partition(".")[0]


def failure_through(proxy: Proxy, error: BaseException) -> NetworkFailure:
    """Return why no answer came through a proxy; if the proxy is the reason, with the variable that names it."""
    if isinstance(error, ProxyRefusedError):
        return refused_by(proxy, error.status)
    if isinstance(error, NoTunnelError):
        return untunnelled(proxy, error)
    failure = failure_of(error)
    return away(proxy, failure) if isinstance(error, ProxyAwayError) else failure


def refused_by(proxy: Proxy, status: int) -> NetworkFailure:
    """Return the failure for a status that the proxy itself sent: 408 and RETRIED_STATUSES may pass, others last."""
    words = f"the proxy of {proxy.named} refused with HTTP {status}"
    if status == _PROXY_AUTHENTICATION:
        words = f"{words}: it wants credentials, http://USER:PASSWORD@HOST:PORT, or others than these"
    lasting = status not in RETRIED_STATUSES and status != _REQUEST_TIMEOUT
    return NetworkFailure(words, connected=False, lasting=lasting)


def untunnelled(proxy: Proxy, error: NoTunnelError) -> NetworkFailure:
    """Return the failure for a proxy that gave no answer to CONNECT; if it ended the connection, that may pass."""
    if not error.closed:
        return unreadable(proxy)
    words = f"the proxy of {proxy.named} closed the connection instead of answering CONNECT"
    return NetworkFailure(words, connected=False)


def unreadable(proxy: Proxy) -> NetworkFailure:
    """Return the failure for an answer to CONNECT that is not HTTP, or is beyond the bounds of an answer."""
    words = f"the proxy of {proxy.named} answered CONNECT with what cannot be read, or with headers that are too long"
    return NetworkFailure(words, connected=False, lasting=not proxy.was_reached)


def away(proxy: Proxy, failure: NetworkFailure) -> NetworkFailure:
    """Return the failure for a proxy that cannot be reached; if it could before, later attempts may reach it again."""
    words = f"the proxy of {proxy.named} cannot be reached: {failure.reason}"
    return NetworkFailure(words, connected=False, lasting=not proxy.was_reached)


def answer_by(proxy: Proxy | None, response: Response) -> Response | NetworkFailure:
    """Return a response, with the credentials that the proxy was sent; or a failure, if the proxy itself responded.

    Through a tunnel, only the router responds. Without a tunnel, 407 comes from a proxy alone (RFC 9110, section
    15.5.8), and a 403 that is not JSON does not come from the router.
    """
    if proxy is None:
        return response
    forbidden = response.status == _FORBIDDEN and not response.body.lstrip().startswith(b"{")
    if not proxy.tunnels and (response.status == _PROXY_AUTHENTICATION or forbidden):
        return refused_by(proxy, response.status)
    proxy.was_reached = True
    return response.with_credentials(credentials_in(proxy.headers.items()))


def failure_of(error: BaseException) -> NetworkFailure:
    """Return why no answer came, in words that hold nothing of the request."""
    return failure_by(error, connected=_was_connected(error))


def failure_by(cause: BaseException, *, connected: bool) -> NetworkFailure:
    """Return the same for the cause of another library's error, which alone tells whether there was a connection.

    OpenSSL has one reason for a peer that speaks no TLS and for bytes that are no TLS within a connection. Only the
    first stays as it is: the second may come of a proxy or a load balancer that gave up in between.
    """
    in_clear = not connected and any(map(_is_answered_in_clear, chain_of(cause)))
    untrusted = in_clear or any(isinstance(one, ssl.SSLCertVerificationError) for one in chain_of(cause))
    reason = _NO_TLS_THERE if in_clear else _reason_of(cause)
    timed_out, phase = _is_timeout(cause), _phase_of(cause)
    return NetworkFailure(reason, timed_out, connected, phase, untrusted=untrusted, in_clear=in_clear)


def _reason_of(error: BaseException) -> str:
    for cause in chain_of(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate was refused: {cause.verify_message} (SSL_CERT_FILE names the authorities to trust)"
        if isinstance(cause, ssl.SSLError):
            return f"TLS failed: {cause.reason}"
        if isinstance(cause, HeadError):
            return str(cause)
        if getattr(cause, "error_status_hint", None) == _TOO_LARGE:
            return OversizedHeadError.words
        if isinstance(cause, socket.gaierror):
            return f"the host's name was not found: {cause.strerror}"
        if isinstance(cause, ConnectionRefusedError):
            return "Connection refused: no program listens there"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
    if _is_timeout(error):
        return "timed out"
    if _is_one(error, "RemoteProtocolError"):
        return NO_WHOLE_ANSWER
    return f"the connection failed or was closed ({type(error).__name__})"


def _is_answered_in_clear(cause: BaseException) -> bool:
    return isinstance(cause, ssl.SSLError) and cause.reason in _ANSWERED_IN_CLEAR


def _phase_of(error: BaseException) -> Phase | None:
    """Return what we waited for when a timeout of ours ended the exchange; None if something else ended it."""
    from_system = any(isinstance(cause, OSError) and cause.errno for cause in chain_of(error))
    if from_system or not _is_timeout(error):
        return None
    if _is_one(error, "PoolTimeout"):
        return "pool"
    return "upload" if _is_one(error, "WriteTimeout") else "answer"


def _is_timeout(error: BaseException) -> bool:
    late = isinstance(error, LateBodyError) or _is_one(error, "TimeoutException")
    return late or any(isinstance(one, TimeoutError) for one in chain_of(error))


def _was_connected(error: BaseException) -> bool:
    return not (isinstance(error, ProxyAwayError) or _is_one(error, "ConnectError", "ConnectTimeout", "PoolTimeout"))


def chain_of(error: BaseException | None) -> Iterator[BaseException]:
    """Iterate over an error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
