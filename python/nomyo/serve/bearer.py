"""Checks bearer tokens, in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers


class BearerTokens:
    """The bearer tokens that are accepted. Only their SHA-256 digests are kept.

    Args:
        tokens: The tokens. If there are none, every request is accepted.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def admit(self, authorization: str | None) -> bool:
        """Return whether an `Authorization` header holds one of the tokens, in time independent of which one."""
        if not self._digests:
            return True
        presented = _digest(_bearer_token(authorization) or "")
        admitted = False
        for digest in self._digests:
            admitted |= hmac.compare_digest(digest, presented)
        return admitted


def authorization_of(headers: Headers) -> str | None:
    """Return a request's `Authorization`; None if there is none, or more than one, since nobody knows which counts."""
    given = headers.getlist("Authorization")
    return given[0] if len(given) == 1 else None


def caller_of(authorization: str | None, address: str) -> bytes:
    """Return what identifies a caller: the digest of its token, or of its address if it sent no token."""
    return _digest(_bearer_token(authorization) or address)


def _bearer_token(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
