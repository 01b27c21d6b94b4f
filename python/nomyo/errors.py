"""Every error that nomyo raises of its own.

    NomyoError
    ├── APIError                     the router answered with an error
    │   ├── InvalidRequestError          400
    │   ├── AuthenticationError          401
    │   ├── ForbiddenError               403
    │   ├── RateLimitError               429
    │   ├── ServerError                  500
    │   └── ServiceUnavailableError      503
    ├── APIConnectionError           no answer: network failure or timeout
    │   └── ConfigurationError           a variable, file or proxy of this machine stands in the way; never retried
    ├── SecurityError                plain HTTP, header injection, pins, keys, every failure to open a package
    │   └── AttestationError             the router's attestation is worse than `attestation="require"` accepts
    ├── DisposedError                the client was disposed of
    └── BatchError                   a batch cannot begin, or stopped before its end

Mistakes in the call itself (a payload that is not a mapping, a tier that does not exist) are
`ValueError` or `TypeError`. No error holds plaintext, keys or tokens, in its message or in
its context.
"""

from __future__ import annotations

from typing import Any, ClassVar


class NomyoError(Exception):
    """The root of all errors that nomyo defines.

    Each error has `message`, `status_code` and `error_details`, so one handler can serve all of them.

    Args:
        message: What went wrong, in words that quote nothing of the request.
    """

    status_code: int | None = None
    """The HTTP status, if the router answered with an error."""
    error_details: Any = None
    """The router's error body, if there was one."""
    no_router: bool = False
    """Whether no router answers at the address: the request for its key brought something else."""
    router_key: bool = False
    """Whether no key of the router was accepted: it matches no pin, or is not the one that the router is known by, or
    what is known cannot be trusted."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


class APIError(NomyoError):
    """The router answered with an HTTP error.

    Args:
        message: The server's own words, bounded and without control characters.
        status_code: The HTTP status. If it is not given, the status of the class, if it has one.
        error_details: The error body, parsed to a depth of 100. If the body was not JSON, its text (4,096 characters at
            most); None if there was no body. `[API key]` and `[credentials]` replace those of the request that the
            server quoted.
        retry_after: The seconds that the server's `retry-after-ms` or `Retry-After` header asks for, as text. A date
            is converted by the answer's own `Date`. None if the server sent no such header.
        sent: True if this is the answer to a prompt; False if only the router's key was asked for.
    """

    _status: ClassVar[int | None] = None

    def __init__(
        self,
        message: str,
        status_code: int | None = None,
        error_details: Any = None,
        *,
        retry_after: str | None = None,
        sent: bool = True,
    ) -> None:
        super().__init__(message)
        self.status_code = self._status if status_code is None else status_code
        self.error_details = error_details
        self.retry_after = retry_after
        self.sent = sent

    def __reduce__(self) -> tuple[type[APIError], tuple[str, int | None, Any], dict[str, Any]]:
        """Pickle with all arguments; `Exception` alone would keep the message only."""
        arguments = (self.message, self.status_code, self.error_details)
        return type(self), arguments, self.__dict__.copy()


class InvalidRequestError(APIError):
    """HTTP 400: the router refused the request as malformed."""

    _status = 400


class AuthenticationError(APIError):
    """HTTP 401: the API key is missing or not valid."""

    _status = 401


class ForbiddenError(APIError):
    """HTTP 403: the model is not allowed for the requested security tier."""

    _status = 403


class RateLimitError(APIError):
    """HTTP 429, after all retries: too many requests."""

    _status = 429


class ServerError(APIError):
    """HTTP 500, after all retries: the router failed."""

    _status = 500


class ServiceUnavailableError(APIError):
    """HTTP 503, after all retries: the inference backend is unavailable."""

    _status = 503


class APIConnectionError(NomyoError):
    """No answer came, after all retries: network failure or timeout.

    Args:
        message: What went wrong, in words that quote nothing of the request.
        timed_out: Whether a timeout ended the last attempt.
        sent: Whether the sealed prompt may have reached the router, which may then bill it. False if there was no
            connection, or if only the router's key was asked for.
        untrusted: Whether the router could not prove who it is: its certificate was refused, or it speaks no TLS.
    """

    def __init__(self, message: str, *, timed_out: bool = False, sent: bool = True, untrusted: bool = False) -> None:
        super().__init__(message)
        self.timed_out = timed_out
        self.sent = sent
        self.untrusted = untrusted


class ConfigurationError(APIConnectionError):
    """No request can be answered until a setting of this machine is changed; nothing is retried.

    Args:
        message: Which variable, file or proxy it is, what is wrong with it, and what to do; without credentials.
        sent: Whether an earlier attempt may have brought the sealed prompt to the router.
    """

    def __init__(self, message: str, *, sent: bool = False) -> None:
        super().__init__(message, sent=sent)


class SecurityError(NomyoError):
    """Going on would have been unsafe, or a package or key could not be opened."""


class AttestationError(SecurityError):
    """Attestation is required, and that of the answer is worse than the policy's least verdict.

    The answer was wiped: nothing of it was handed out.

    Args:
        message: The verdict, and why.
        attestation: What was found, an `Attestation`.
    """

    def __init__(self, message: str, *, attestation: Any = None) -> None:
        super().__init__(message)
        self.attestation = attestation


class DisposedError(NomyoError):
    """A method was called after `dispose()`."""


class BatchError(NomyoError):
    """A batch cannot begin, or stopped before its end; the message says why, and whether it can go on.

    Args:
        message: Why the batch stopped, and whether it can go on.
        status_code: The router's HTTP status for which the batch stopped, if there was one.
    """

    def __init__(self, message: str, *, status_code: int | None = None) -> None:
        super().__init__(message)
        self.status_code = status_code
