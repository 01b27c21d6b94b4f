"""Bounds the connections of a server: callers without a token take no connection from callers with one.

- At most half of all connections may be without a token. A further one replaces the oldest of them. A caller that has a
  token shows it at once, so its connection never becomes the oldest.
- When all connections are in use, a new one replaces, in this order: the oldest without a token, if at least an eighth
  of all are without (with fewer, a new caller would be closed before its token is read); the one with a token that has
  been idle for longest; the oldest without a token; one whose request has not fully arrived. A connection whose request
  is being answered is never closed.
- If no token is needed, a caller that sends a valid request counts as having one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from starlette.types import Scope

_SHOWN: Final = "nomyo.token_shown"


class Connection(Protocol):
    """What this module needs of a connection."""

    @property
    def at_rest(self) -> bool:
        """Whether no request is under way."""

    @property
    def incomplete(self) -> bool:
        """Whether a request has begun to arrive, but is not complete."""

    def abort(self) -> None:
        """Close it now."""


class Connections:
    """All connections of a server.

    Args:
        most: How many there may be.
        report: Called with the reason whenever one is closed to make room, or a new one is turned away.
    """

    def __init__(self, most: int, report: Callable[[str], None]) -> None:
        self._max = most
        self._max_without_token = max(1, most // 2)
        self._few_without_token = max(1, most // 8)
        self._report = report
        # Both from the one that goes first to the one that goes last.
        self._without_token: dict[Connection, None] = {}
        self._with_token: dict[Connection, None] = {}

    def admit(self, connection: Connection) -> bool:
        """Count a new connection. Returns False if there is no room, and none can be made."""
        if len(self._without_token) >= self._max_without_token:
            self._close(next(iter(self._without_token)))
        if self._count >= self._max and not self.make_room():
            self._report("all connections have requests under way: a new one was turned away")
            return False
        self._without_token[connection] = None
        return True

    def make_room(self) -> bool:
        """Close the most dispensable connection. Returns False if none may be closed."""
        without = next(iter(self._without_token), None)
        has_many = len(self._without_token) >= self._few_without_token
        chosen = without if has_many else next((one for one in self._with_token if one.at_rest), without)
        chosen = chosen or next((one for one in self._with_token if one.incomplete), None)
        if chosen is None:
            return False
        self._close(chosen)
        return True

    def note_token(self, connection: Connection) -> None:
        """Record that a request on a connection showed a valid token."""
        self.forget(connection)
        self._with_token[connection] = None

    def forget(self, connection: Connection) -> None:
        """Record that a connection has ended."""
        self._without_token.pop(connection, None)
        self._with_token.pop(connection, None)

    @property
    def _count(self) -> int:
        return len(self._without_token) + len(self._with_token)

    def _close(self, connection: Connection) -> None:
        self.forget(connection)
        connection.abort()
        self._report("too many connections: one without a token, or unused, was closed")


def with_token_note(scope: Scope, note: Callable[[], None]) -> Scope:
    """Return a request's scope in which `note_token` finds the function to call."""
    return {**scope, _SHOWN: note}


def note_token(scope: Scope) -> None:
    """Record that a request showed a valid token, so that its connection is kept longer than those without."""
    note: Callable[[], None] | None = scope.get(_SHOWN)
    if note is not None:
        note()
