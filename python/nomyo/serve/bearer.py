"""Bearer tokens: which are let in, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable


class BearerTokens:
    """The bearer tokens that are let in. Only their SHA-256 digests are kept here.

    Args:
        tokens: The tokens; where there are none, everybody is let in.
    """

    def __init__(self, tokens: Iterable[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def admit(self, authorization: str | None) -> bool:
        """Tell whether an `Authorization` header holds one of the tokens, in time that does not depend on which."""
        if not self._digests:
            return True
        presented = _digest(_bearer_token(authorization) or "")
        admitted = False
        for digest in self._digests:
            admitted |= hmac.compare_digest(digest, presented)
        return admitted


def caller_of(authorization: str | None, address: str) -> bytes:
    """Return what stands for a caller: its token's digest, that of its address where no token came."""
    return _digest(_bearer_token(authorization) or address)


def _bearer_token(authorization: str | None) -> str | None:
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
