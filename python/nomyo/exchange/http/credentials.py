"""Secrets that a request carries beside the API key: the credentials of a proxy, or of the caller's client."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Final

# RFC 9110, sections 11.6.2 and 11.7.2; RFC 6265; and what services call their own.
_FIELDS: Final = re.compile(r"auth|cookie|token|secret|passw|credential|api-?key", re.IGNORECASE)
_BASIC: Final = "basic"


def credentials_in(headers: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    """Return the credentials in a request's headers, in each form in which a server may quote them."""
    return tuple(each for name, value in headers if _FIELDS.search(name) for each in _parts(name, value))


def _parts(name: str, value: str) -> Iterator[str]:
    if "cookie" in name.lower():
        yield from (each.partition("=")[2] for each in value.split(";"))
        return
    scheme, _, token = value.partition(" ")
    yield token or value
    if scheme.lower() == _BASIC:  # RFC 7617
        yield from _user_and_password(token)


def _user_and_password(token: str) -> Iterator[str]:
    try:
        decoded = base64.b64decode(token).decode()
    except ValueError:
        return
    yield decoded
    yield decoded.partition(":")[2]
