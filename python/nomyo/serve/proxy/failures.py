"""What a failure of ours or of the router becomes for the caller.

The router's status is kept, with two exceptions. Its 401 becomes 502: it refused the proxy's API key, which is not the
caller's token, and whoever gets a 401 looks for the fault in what it sent itself (RFC 9110, section 15.5.2). A status
that is no error's becomes 502 too. Whatever may be retried was retried by our client: the SDKs are told so.
"""

from __future__ import annotations

import re
from typing import Final

from nomyo.errors import APIConnectionError, APIError, DisposedError, SecurityError
from nomyo.serve.proxy.refusal import Refusal

_CREDENTIALS: Final = (401, 407)
_FAILURES: Final = (500, 502, 503, 504)


def refusal_for(error: Exception) -> Refusal | None:
    """Return the answer that stands for an error of a request; None where it was not foreseen."""
    match error:
        case APIError():
            return _from_router(error)
        case APIConnectionError() if error.timed_out:
            return Refusal(504, "router_timeout", "The router took too long", retried=True)
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


def stopping() -> Refusal:
    """Return the answer to what could not be finished when the proxy stopped."""
    return Refusal(503, "stopping", "The proxy is stopping", retried=True)


def _from_router(error: APIError) -> Refusal:
    status = error.status_code or 502
    if status in _CREDENTIALS:
        words = "The router does not accept the proxy's API key: is NOMYO_API_KEY right where nomyo proxy runs?"
        return Refusal(502, "router_authentication_failed", words, retried=True)
    kept = status if 400 <= status < 500 or status in _FAILURES else 502
    code, words, wait_s = f"router_status_{status}", f"The router: {error.message}", _seconds(error.retry_after)
    return Refusal(kept, code, words, retry_after_s=wait_s, retried=True)


def _seconds(retry_after: str | None) -> int | None:
    """Return what a Retry-After header asks for; None for a date or what is none."""
    if retry_after is None or not re.fullmatch(r"[0-9]{1,6}", retry_after):
        return None
    return int(retry_after)
