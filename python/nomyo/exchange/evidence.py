"""What a call exchanges that can be kept as evidence."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

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


@dataclass(slots=True, repr=False)
class Evidence:
    """What one call leaves behind as evidence, which is written once."""

    exchanged: list[Exchanged] = field(default_factory=list)
    began_s: float = field(default_factory=time.monotonic)
    _unclaimed: list[None] = field(default_factory=lambda: [None])

    def claim(self) -> bool:
        """Return whether the caller is the one that writes it: the first of several threads to ask."""
        try:
            self._unclaimed.pop()
        except IndexError:
            return False
        return True
