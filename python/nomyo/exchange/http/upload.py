"""A request's body on its way out of an event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator

# What aiohttp takes as one piece without a warning is 1 MiB (`TOO_LARGE_BYTES_BODY`): writing more at once would hold
# the event loop up.
LARGE_BYTES = 1024 * 1024
PIECE_BYTES = 64 * 1024


class Pieces:
    """A large body in pieces, between which the event loop serves others."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the pieces; any number of times."""
        for start in range(0, len(self._body), PIECE_BYTES):
            yield self._body[start : start + PIECE_BYTES]


def in_pieces(body: bytes) -> bytes | Pieces:
    """Return the body, in pieces where it is large."""
    return body if len(body) <= LARGE_BYTES else Pieces(body)
