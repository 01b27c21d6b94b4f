"""What a failure says about its row, and about all others."""

from __future__ import annotations

from enum import Enum, auto

from nomyo.errors import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    DisposedError,
    NomyoError,
    RateLimitError,
    ServiceUnavailableError,
)
from nomyo.exchange.retries import RETRIED_STATUSES


class Verdict(Enum):
    """What becomes of a row whose request failed."""

    FAILED = auto()
    """The row is at fault; it is the row's outcome."""
    AGAIN = auto()
    """It may pass, or be the row's own fault: a few more attempts."""
    PAUSE = auto()
    """It concerns every row: none is sent for a while, and then this one once more."""
    STOP = auto()
    """It concerns every row, and will not pass."""


def verdict(error: Exception) -> Verdict:
    """Judge a failure.

    A timeout after the request was sent is ambiguous: a router that is away, or an answer that takes too long each
    time. So it is the row's, lest one row hold all others up.
    """
    if isinstance(error, (AuthenticationError, DisposedError)):
        return Verdict.STOP
    if isinstance(error, (RateLimitError, ServiceUnavailableError)):
        return Verdict.PAUSE
    if isinstance(error, APIConnectionError):
        return Verdict.AGAIN if error.timed_out and error.sent else Verdict.PAUSE
    if isinstance(error, APIError) and error.status_code in RETRIED_STATUSES:
        return Verdict.AGAIN
    return Verdict.FAILED


def in_short(error: Exception) -> str:
    """Say what failed, in words of our own: a server's may quote the request."""
    if isinstance(error, AuthenticationError):
        return f"the router refused the API key (HTTP {error.status_code}; by default it is that of NOMYO_API_KEY)"
    if isinstance(error, APIError):
        return f"the router answered with HTTP {error.status_code}"
    if isinstance(error, APIConnectionError):
        return f"the router cannot be reached ({error})"
    if isinstance(error, (NomyoError, OSError, RuntimeError)):
        return str(error)
    return type(error).__name__
