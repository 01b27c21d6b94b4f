"""Translates a failure of ours or of the router into an answer for the caller.

The router's status is kept, with four exceptions. If there is no router at the address, or something before it refuses,
that is 502, whatever answers there. Another status from 400 to 499 becomes 502 if it answers the request for the key,
which the caller did not make; a 429 is kept. The router's 401 becomes 502: the router refused the proxy's API key, and
a caller that gets a 401 looks for the fault in its own token (RFC 9110, section 15.5.2). A status that is not an
error becomes 502, too. Our client has retried already, and the answer tells the SDKs not to.
"""

from __future__ import annotations

from typing import Final

from nomyo.errors import (
    APIConnectionError,
    APIError,
    ConfigurationError,
    DisposedError,
    NomyoError,
    RateLimitError,
    SecurityError,
)
from nomyo.exchange.retries import parse_retry_after
from nomyo.exchange.wrong_address import REFUSALS
from nomyo.openai_form.error import named_in
from nomyo.serve.proxy.refusal import Refusal

_CREDENTIALS: Final = (401, 407)
_FAILURES: Final = (500, 502, 503, 504)


def refusal_for(error: Exception) -> Refusal | None:
    """Return the answer to a request that failed with `error`; None if the error was not foreseen."""
    match error:
        case NomyoError() if error.no_router:
            return Refusal(502, "no_router", _sentence(error), retried=True)
        case APIError() if not error.sent and error.status_code in REFUSALS:
            return Refusal(502, "refused_before_router", _sentence(error), retried=True)
        case APIError():
            return _from_router(error)
        case ConfigurationError():
            words = f"A setting where nomyo proxy runs stands in the way: {error}"
            return Refusal(502, "proxy_configuration", words, retried=True)
        case APIConnectionError() if error.timed_out:
            return Refusal(504, "router_timeout", f"The router took too long: {error}", retried=True)
        case APIConnectionError():
            return Refusal(502, "router_unreachable", f"The router gave no answer: {error}", retried=True)
        case SecurityError():
            return Refusal(502, "not_secure", f"Going on would not have been safe: {error}", retried=True)
        case DisposedError():
            return stopping()
        case MemoryError():
            return Refusal(503, "out_of_memory", "The proxy is out of protected memory", retry_after_s=1)
        case ValueError() | TypeError():  # a mistake in the call, with its path
            return Refusal(400, "invalid_request", str(error))
        case _:
            return None


def _sentence(error: NomyoError) -> str:
    return f"{error.message[:1].upper()}{error.message[1:]}"


def stopping() -> Refusal:
    """Return the answer to a request that could not be finished when the proxy stopped."""
    return Refusal(503, "stopping", "The proxy is stopping", retried=True)


def _from_router(error: APIError) -> Refusal:
    status = error.status_code or 502
    if status in _CREDENTIALS:
        words = "The router does not accept the proxy's API key: is NOMYO_API_KEY right where nomyo proxy runs?"
        return Refusal(502, "router_authentication_failed", words, retried=True)
    for_the_caller = 400 <= status < 500 and (error.sent or isinstance(error, RateLimitError))
    kept = status if for_the_caller or status in _FAILURES else 502
    return Refusal(
        kept,
        f"router_status_{status}",
        f"The router: {error.message}",
        retry_after_s=parse_retry_after(error.retry_after),
        retried=True,
        named=named_in(error.error_details),
    )
