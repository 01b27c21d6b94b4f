"""The router's own RSA keys: the current one, and for a while the replaced ones.

Promises: private halves exist in the native core's arena only, and are wiped when their time is over, at rotation or at
the end. Nothing is ever written to a file.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from nomyo._core import PrivateKey, open_package
from nomyo.errors import DisposedError, SecurityError

# A package does not say which key it was sealed to, so each key accepted is one more RSA operation for every package
# that none of them opens.
MAX_RETIRING: Final = 16


class _Retiring(NamedTuple):
    key: PrivateKey
    until: float


class KeyRing:
    """Holds the key that clients seal for, and replaced keys during their grace period. Several threads may use it.

    Args:
        bits: The size of each key.
        interval_s: Seconds after which `rotation_due` is True; 0 for never.
        grace_s: Seconds for which a replaced key still opens packages; 0 for not at all.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self, bits: int, *, interval_s: float, grace_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._bits = bits
        self._interval_s = interval_s
        self._grace_s = grace_s
        self._clock = clock
        self._lock = threading.Lock()
        self._retiring: deque[_Retiring] = deque()
        self._current = PrivateKey.generate(bits)
        self._rotated_at = clock()

    @property
    def current(self) -> PrivateKey:
        """The key that clients seal for now."""
        return self._current

    @property
    def public_pem(self) -> str:
        """The current public key as SPKI PEM."""
        return self._current.public_key.pem

    @property
    def fingerprint(self) -> str:
        """The current key's fingerprint, as a client pins it."""
        return self._current.public_key.fingerprint

    @property
    def rotation_due(self) -> bool:
        """Whether the current key is older than the interval."""
        return self._interval_s > 0 and self._clock() - self._rotated_at >= self._interval_s

    def rotate(self) -> None:
        """Replace the current key by a new one. Takes as long as generating a key (half a second for 4096 bits)."""
        fresh = PrivateKey.generate(self._bits)
        with self._lock:
            self._rotated_at = self._clock()
            self._retiring.appendleft(_Retiring(self._current, self._rotated_at + self._grace_s))
            self._current = fresh
            self._retire(MAX_RETIRING)

    def retire_expired(self) -> None:
        """Wipe the keys whose grace period is over."""
        with self._lock:
            self._retire(MAX_RETIRING)

    def open(self, package: bytes) -> dict[str, Any]:
        """Open a package with the current key, or with a replaced one during its grace period.

        Raises:
            SecurityError: None of the keys opens it. The error does not say why.
        """
        for key in self._accepted():
            try:
                request, _algorithm, _processed_at = open_package(package, key)
            except (SecurityError, DisposedError):  # DisposedError: the key's grace period ended just now
                continue
            opened: dict[str, Any] = request
            return opened
        raise SecurityError("no key of this router opens the package")

    def close(self) -> None:
        """Wipe every key. Nothing opens afterwards."""
        with self._lock:
            self._retire(0)
            self._current.wipe()

    def _accepted(self) -> list[PrivateKey]:
        """Return the keys that may open a package, the likeliest first."""
        with self._lock:
            self._retire(MAX_RETIRING)
            return [self._current, *(retiring.key for retiring in self._retiring)]

    def _retire(self, most: int) -> None:
        """Wipe the keys whose grace period is over, and the oldest ones beyond `most`."""
        while self._retiring and (len(self._retiring) > most or self._clock() >= self._retiring[-1].until):
            self._retiring.pop().key.wipe()
