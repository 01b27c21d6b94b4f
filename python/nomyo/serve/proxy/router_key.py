"""The fingerprint of the router's key, for the page and `/nomyo/status`."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from nomyo import SecureCompletionClient
from nomyo._core import PublicKey
from nomyo.serve.proxy.failures import refusal_for

_KEPT_S: Final = 30.0
_TIMEOUT_S: Final = 5.0


class RouterKey:
    """Asks for the router's key again 30 seconds after the router gave it, at the earliest; after a failure, at once.

    Args:
        client: The client that asks; it seals for the same key from then on.
    """

    def __init__(self, client: SecureCompletionClient) -> None:
        self._client = client
        self._asking = asyncio.Lock()
        self._asked_at: float | None = None
        self.fingerprint: str | None = None
        """The fingerprint; None if the router did not give its key."""
        self.error: str | None = None
        """One word for why the router did not give its key."""

    async def refresh(self) -> None:
        """Update fingerprint and error; takes at most 5 seconds."""
        async with self._asking:
            if self._asked_at is not None and time.monotonic() - self._asked_at < _KEPT_S and self.error is None:
                return
            self.fingerprint, self.error = None, None
            try:
                pem = await asyncio.wait_for(self._client.fetch_server_public_key(), _TIMEOUT_S)
                self.fingerprint = PublicKey.from_pem(pem).fingerprint
            except Exception as error:  # noqa: BLE001 - `error` names the failure in one word
                refusal = refusal_for(error)
                self.error = refusal.code if refusal else "router_unreachable"
            self._asked_at = time.monotonic()
