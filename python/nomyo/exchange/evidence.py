"""What a call exchanges that can be kept as evidence."""

from __future__ import annotations

from dataclasses import dataclass

from .. import _core
from .effects import Response


@dataclass(slots=True, repr=False)
class Exchanged:
    """One package that was sealed, and what came back: ciphertext and public keys alone."""

    package: bytes
    router_key: _core.PublicKey
    client_key: _core.PublicKey
    response: Response | None = None
    attestation: str | None = None
    """The verdict on the router's attestation in the answer; None if it was not judged."""
