"""Whether a client may still be used: not after `dispose`, and not in a forked child."""

from __future__ import annotations

import os

from ..errors import DisposedError, SecurityError
from .client_keys import ClientKeys


class Lifetime:
    """The lifetime of one client, which ends with that of its keys at the latest.

    Args:
        keys: The client's own, or those of the client that lends them.
    """

    def __init__(self, keys: ClientKeys) -> None:
        self._keys = keys
        self._process = os.getpid()
        self._is_over = False

    def end(self) -> None:
        """Refuse every later use. Idempotent."""
        self._is_over = True

    @property
    def is_of_this_process(self) -> bool:
        """Whether this process made the client, and did not inherit it by `fork`."""
        return self._process == os.getpid()

    def check(self) -> None:
        """Refuse to go on after the end, or in a forked child.

        Raises:
            DisposedError: The client was disposed of.
            SecurityError: The parent process made the client before a fork: two processes that write to one
                connection, or that wipe one key, would break each other.
        """
        if self._is_over or self._keys.disposed:
            raise DisposedError("the client was disposed of")
        if self._process != os.getpid():
            raise SecurityError("this client was made by the parent process before fork(); make a new one here")
