"""Judges a failure: whether it concerns one row or all rows, whether it may pass, and what to call it."""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto
from http import HTTPStatus
from typing import Final, TypeGuard

from nomyo.batch.records import BadRow
from nomyo.errors import (
    APIConnectionError,
    APIError,
    AttestationError,
    AuthenticationError,
    ConfigurationError,
    DisposedError,
    NomyoError,
    RateLimitError,
    SecurityError,
    ServiceUnavailableError,
)
from nomyo.exchange.protocol import PAYLOAD_LIMIT_BYTES
from nomyo.exchange.retries import RETRIED_STATUSES, may_pass
from nomyo.exchange.wrong_address import of_status

_ACCOUNT_STATUSES: Final = {HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN}
_MOST_REASONS: Final = 1000
_OTHER_REASONS: Final = "other reasons"
_TOO_LARGE: Final = f"here the payload grows beyond {PAYLOAD_LIMIT_BYTES} bytes of JSON"
_CONSTANT_WORDS: Final = (_TOO_LARGE, "nested more than 200 deep", "JSON has no NaN and no infinity")
"""What the core says of a body that it does not seal, after the path to the place. Names in the path are content."""


class Verdict(Enum):
    """What becomes of a row whose request failed."""

    FAILED = auto()
    """The row is at fault: the error is its outcome."""
    AGAIN = auto()
    """The failure may pass, or be the row's fault: the row gets a few more attempts."""
    PAUSE = auto()
    """The failure concerns every row: no row is sent for a while, then this one again."""
    STOP = auto()
    """The failure concerns every row and will not pass: the batch stops."""


def verdict(error: Exception) -> Verdict:
    """Judge a failure.

    A timeout after the request was sent has two possible causes: the router is away, or this row's answer always takes
    too long. It is judged as the row's fault, so that one row cannot hold up all others. An error in answer to the
    request for the router's key says nothing about a row.
    """
    if isinstance(error, (AttestationError, AuthenticationError, ConfigurationError, DisposedError)):
        return Verdict.STOP
    # A login page of this network, say, or another key of the router: not the row's fault.
    if isinstance(error, SecurityError) and (error.no_router or error.router_key):
        return Verdict.STOP
    if isinstance(error, APIError) and not error.sent:
        return Verdict.PAUSE if may_pass(error.status_code) else Verdict.STOP
    if isinstance(error, (RateLimitError, ServiceUnavailableError)):
        return Verdict.PAUSE
    if isinstance(error, APIConnectionError):
        return Verdict.AGAIN if error.timed_out and error.sent else Verdict.PAUSE
    if isinstance(error, APIError) and error.status_code in RETRIED_STATUSES:
        return Verdict.AGAIN
    return Verdict.FAILED


def may_refuse_account(error: Exception) -> TypeGuard[APIError]:
    """Return whether a refusal may be the account's fault: 402 or 403."""
    return isinstance(error, APIError) and error.sent and error.status_code in _ACCOUNT_STATUSES


def is_unrelated_to_rates(error: Exception) -> bool:
    """Return whether a passing failure comes from a router that is away, or from a server in front of it."""
    if isinstance(error, APIError):
        return not error.sent and not isinstance(error, (RateLimitError, ServiceUnavailableError))
    return isinstance(error, APIConnectionError)


def describe_failure(error: Exception, address: str = "the router") -> str:
    """Describe a failure in our own words, because a server's words may quote the request."""
    if isinstance(error, APIError) and not error.sent:
        if may_pass(error.status_code):
            return f"{address} has no public key to give (HTTP {error.status_code})"
        return of_status(address, error.status_code or 0)
    if isinstance(error, AuthenticationError):
        return f"the router refused the API key (HTTP {error.status_code}; by default it is that of NOMYO_API_KEY)"
    if isinstance(error, APIError):
        return f"the router answered with HTTP {error.status_code}"
    if isinstance(error, APIConnectionError) and not isinstance(error, ConfigurationError) and not error.no_router:
        return f"the router cannot be reached ({error})"
    if isinstance(error, (NomyoError, OSError, RuntimeError)):
        return str(error)
    return type(error).__name__


class Reasons:
    """Counts why rows failed, in our own words and in bounded memory."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, error: Exception) -> None:
        """Count a row that failed."""
        self.add_counted(_reason(error), 1)

    def add_counted(self, reason: str, rows: int) -> None:
        """Count rows that failed elsewhere for a reason."""
        known = reason in self._counts or len(self._counts) < _MOST_REASONS
        self._counts[reason if known else _OTHER_REASONS] += rows

    def most_frequent_first(self) -> tuple[tuple[str, int], ...]:
        """Return the reasons, each with the number of rows."""
        return tuple(self._counts.most_common())


def _reason(error: Exception) -> str:
    """Return why a row failed, in the same words for all rows that failed for this reason, and without content."""
    if isinstance(error, BadRow):
        return str(error).partition(": character ")[0]
    if isinstance(error, APIConnectionError):
        return "no answer in time" if error.timed_out else "the connection was lost"
    if type(error) in (ValueError, TypeError):
        return _constant_words_of(error) or f"{type(error).__name__}: see the row"
    return describe_failure(error)


def _constant_words_of(error: Exception) -> str | None:
    """Return the part of a message that is the same for all rows; None if the message may be Python's or the caller's.

    Python's own messages quote what they refuse, as in `int("...")`, and so may those of a caller's code.
    """
    message = str(error)
    return next((words for words in _CONSTANT_WORDS if message.endswith(f": {words}")), None)
