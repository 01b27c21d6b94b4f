"""The body of a request in pieces, each of which may take `write_s` to write."""

from __future__ import annotations

from collections.abc import AsyncIterator

# aiohttp warns of a larger piece (`TOO_LARGE_BYTES_BODY`), because to write more at once holds the event loop up.
LARGE_BYTES = 1024 * 1024
PIECE_BYTES = 64 * 1024
"""How much of a request the network must take within each `write_s`."""


class Pieces:
    """A large body in pieces, between which the event loop serves others."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the pieces; any number of times."""
        for start in range(0, len(self._body), PIECE_BYTES):
            yield self._body[start : start + PIECE_BYTES]


def in_pieces(body: bytes) -> bytes | Pieces:
    """Return the body; in pieces if it is large."""
    return body if len(body) <= LARGE_BYTES else Pieces(body)
