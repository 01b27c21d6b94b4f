"""The interface by which an exchange asks if a key may be the router's; `nomyo.trust` implements it."""

from __future__ import annotations

from typing import Protocol


class KeyJudge(Protocol):
    """Judges the keys that one router shows. Each method may read and write files: call it in a thread."""

    def judge(self, fingerprint: str) -> None:
        """Accept the key of a router that has no pins.

        Args:
            fingerprint: The key's: "SHA256:" and the unpadded base64 of SHA-256 over its SPKI DER.

        Raises:
            SecurityError: It is not the key that the router is known by; or what is known cannot be trusted.
            ConfigurationError: What is known cannot be read or written.
        """

    def note_pinned(self, fingerprint: str) -> None:
        """Note a key that matches a pin, whatever the router is known by; raises as `judge` does."""

    def note_unpinned(self, fingerprint: str) -> None:
        """Note a key that was refused because it matches no pin; raises as `judge` does."""
