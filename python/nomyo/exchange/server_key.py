"""The router's public key: fetched once however many requests wait for it, cached, pinned.

Rules:

- A key that matches no pin is refused, whether fetched first or again.
- With a lifetime of 0 every encryption asks for the key, as the reference client does.
- One request fetches, the others wait for it and share its outcome. Where the fetching one was
  cancelled, gave up after a time that was its own, or its event loop stands still, the next takes its place.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from .. import _core
from ..errors import APIConnectionError, NomyoError, SecurityError
from .effects import Flow, Response, Timeouts, wait
from .protocol import usable_body
from .settings import Settings
from .trace import logger

Fetch = Callable[[], Flow[Response]]


class _Fetching(Future["_core.PublicKey | None"]):
    """A fetch under way: the key, None where its request was cancelled, or the error."""

    def __init__(self, timeouts: Timeouts) -> None:
        super().__init__()
        self.timeouts = timeouts


class ServerKey:
    """The cached public key of one router."""

    def __init__(self, settings: Settings) -> None:
        self._pins = settings.pins
        self._ttl_s = settings.server_key_ttl
        self._lock = threading.Lock()
        self._key: _core.PublicKey | None = None
        self._fetched_at = 0.0
        self._fetching: _Fetching | None = None

    def get(self, fetch: Fetch, timeouts: Timeouts) -> Flow[_core.PublicKey]:
        """Return the cached key, or the one that `fetch` brings.

        Args:
            fetch: Asks the router.
            timeouts: Those of `fetch`; another request's fetch is waited for as long as for an answer.

        Raises:
            SecurityError: It is no acceptable RSA key, or it matches no pin.
            APIError, APIConnectionError: The router did not give it.
        """
        key = self.cached()
        if key is not None:
            return key
        if self._ttl_s == 0:
            return (yield from self.fetch(fetch))
        return (yield from self._fetch_once(fetch, timeouts))

    def get_other_than(self, stale: _core.PublicKey, fetch: Fetch, timeouts: Timeouts) -> Flow[_core.PublicKey]:
        """Ask for the key once more, unless another request has brought a new one meanwhile."""
        key = self.cached()
        if key is not None and key != stale:
            return key
        begun_before = self._fetching is not None
        key = yield from self._fetch_once(fetch, timeouts)
        if key == stale and begun_before:  # asked before the router refused the key: ask once more
            key = yield from self._fetch_once(fetch, timeouts)
        return key

    def cached(self) -> _core.PublicKey | None:
        """Return the key while it is fresh."""
        with self._lock:
            fresh = self._key is not None and time.monotonic() - self._fetched_at < self._ttl_s
            return self._key if fresh else None

    def _fetch_once(self, fetch: Fetch, timeouts: Timeouts) -> Flow[_core.PublicKey]:
        """Fetch, or share the outcome of the fetch under way."""
        given_up: _Fetching | None = None
        while True:
            with self._lock:
                fetching = self._fetching
                if fetching is None or fetching is given_up:
                    mine = self._fetching = _Fetching(timeouts)
                    break
            yield from wait(fetching, timeouts.read_s)
            if not fetching.done():
                given_up = fetching
                continue
            error = fetching.exception()
            if _is_timeout(error) and fetching.timeouts != timeouts:
                continue  # it came too late for a request that had other time than this one
            if error is not None:
                raise copy.copy(error)
            key = fetching.result()
            if key is not None:
                return key
        return (yield from self._lead(mine, fetch))

    def _lead(self, mine: _Fetching, fetch: Fetch) -> Flow[_core.PublicKey]:
        """Fetch for all who wait on `mine`; it ends without a key where this flow is cancelled."""
        outcome: _core.PublicKey | NomyoError | None = None
        try:
            outcome = yield from self.fetch(fetch)
            return outcome
        except NomyoError as error:
            outcome = error
            raise
        finally:
            with self._lock:
                if self._fetching is mine:
                    self._fetching = None
            if isinstance(outcome, NomyoError):
                mine.set_exception(copy.copy(outcome).with_traceback(None))
            else:
                mine.set_result(outcome)
            outcome = None  # an error refers to this frame: without this, a cycle would keep the payload alive

    def fetch(self, fetch: Fetch) -> Flow[_core.PublicKey]:
        """Fetch the key, whatever the cache holds, and keep it."""
        response = yield from fetch()
        key = _core.PublicKey.from_pem(usable_body(response))
        if self._pins and key.fingerprint not in self._pins:
            raise SecurityError(f"the router's key {key.fingerprint} matches none of the pinned fingerprints")
        with self._lock:
            self._key, self._fetched_at = key, time.monotonic()
        logger.debug("router's key: RSA-%d %s", key.bits, key.fingerprint)
        return key


def _is_timeout(error: BaseException | None) -> bool:
    return isinstance(error, APIConnectionError) and error.timed_out
