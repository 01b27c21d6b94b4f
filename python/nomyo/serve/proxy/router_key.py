"""The fingerprint of the router's key, for those who want to see it."""

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
    """Asks for the router's key once in a while, however often it is looked at.

    Args:
        client: Asks; it seals for the same key from then on.
    """

    def __init__(self, client: SecureCompletionClient) -> None:
        self._client = client
        self._asking = asyncio.Lock()
        self._asked_at: float | None = None
        self.fingerprint: str | None = None
        """None where it was not given."""
        self.error: str | None = None
        """One word: why it was not."""

    async def look(self) -> None:
        """Bring fingerprint and error up to date; within 5 seconds, and at most every 30."""
        async with self._asking:
            if self._asked_at is not None and time.monotonic() - self._asked_at < _KEPT_S and self.error is None:
                return
            self.fingerprint, self.error = None, None
            try:
                pem = await asyncio.wait_for(self._client.fetch_server_public_key(), _TIMEOUT_S)
                self.fingerprint = PublicKey.from_pem(pem).fingerprint
            except Exception as error:  # noqa: BLE001 - a word for it goes to whoever looks
                refusal = refusal_for(error)
                self.error = refusal.code if refusal else "router_unreachable"
            self._asked_at = time.monotonic()
