"""The router's public key: fetched once however many requests wait for it, cached, pinned.

Rules:

- A key that matches no pin is refused, whether fetched first or again. Pins win over what else is known of the router.
- A judge (`key_judge.py`), if there is one, is asked about each key that was fetched, before anything is sealed for it.
- With a lifetime of 0 every encryption asks for the key, as the reference client does.
- One request fetches, the others wait for it and share its outcome. If the fetching request was cancelled, gave up
  after a timeout of its own, or belongs to an event loop that stands still, the next waiter takes over.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial

from .. import _core
from ..errors import APIConnectionError, NomyoError, SecurityError
from .attempts import Attempts
from .effects import Flow, Request, Response, Timeouts, UseFiles, Wait
from .key_judge import KeyJudge
from .protocol import server_key_error, server_key_request, usable_body
from .settings import Settings
from .wrong_address import of_body

LONGEST_FETCH_S = 60.0
"""For each step of a fetch, however long an answer may take: no model works on a key."""
MOST_WAITS = 2
"""How many other requests' fetches one request waits for before it fetches itself. Without a bound, each of a hundred
requests that find the router silent would wait for all that fetch before it: a hundred timeouts."""


class _Fetching(Future["_core.PublicKey | None"]):
    """A fetch under way; its outcome is the key, None if its request was cancelled, or the error."""

    def __init__(self, timeouts: Timeouts) -> None:
        super().__init__()
        self.timeouts = timeouts


class ServerKey:
    """The cached public key of one router.

    Args:
        settings: The client's.
        attempts: Sends the requests for the key.
        judge: Is asked about each key that comes.
    """

    def __init__(self, settings: Settings, attempts: Attempts, judge: KeyJudge | None) -> None:
        self._judge = judge
        self._log = settings.log
        self._pins = settings.pins
        self._ttl_s = settings.server_key_ttl
        self._base_url = settings.base_url
        self._api_key = settings.api_key
        self._attempts = attempts
        self._cache: tuple[_core.PublicKey, float] | None = None
        """The key, and when it came. One object, replaced as a whole, so that reading it takes no lock."""
        self._lock = threading.Lock()
        """Held for moments: it decides which request fetches."""
        self._fetching: _Fetching | None = None

    def cached(self) -> _core.PublicKey | None:
        """Return the key while it is fresh."""
        if self._cache is None:
            return None
        key, fetched_at = self._cache
        return key if time.monotonic() - fetched_at < self._ttl_s else None

    def get(self, timeouts: Timeouts, api_key: str | None = None) -> Flow[_core.PublicKey]:
        """Return the cached key, or fetch it.

        Args:
            timeouts: Those of the request that needs the key. It waits for another request's fetch as long as it would
                for an answer.
            api_key: The request's own. It is not sent, and hidden if an error of the server quotes it.

        Raises:
            SecurityError: It is no acceptable RSA key, it matches no pin, or the judge refuses it.
            APIError, APIConnectionError: The router did not give it.
        """
        key = self.cached()
        if key is not None:
            return key
        if self._ttl_s == 0:
            return (yield from self.fetch(timeouts, api_key))
        return (yield from self._fetch_once(timeouts, api_key))

    def get_other_than(
        self, refused: _core.PublicKey, timeouts: Timeouts, api_key: str | None
    ) -> Flow[_core.PublicKey | None]:
        """Return the router's key if it is another than the one that the router refused.

        Asks the router, unless another request has brought a new key meanwhile.
        """
        key = self.cached()
        if key is not None and key != refused:
            return key
        began_before = self._fetching is not None
        key = yield from self._fetch_once(timeouts, api_key)
        if key == refused and began_before:  # the router may have answered before it changed its key: ask once more
            key = yield from self._fetch_once(timeouts, api_key)
        return None if key == refused else key

    def fetch(self, timeouts: Timeouts, api_key: str | None = None) -> Flow[_core.PublicKey]:
        """Fetch the key, whatever the cache holds, and cache it; arguments and errors are those of `get`."""
        response = yield from self._attempts.send(self._request(timeouts))
        return (yield from self._accepted(response, api_key))

    def _request(self, timeouts: Timeouts) -> Request:
        return server_key_request(self._base_url, timeouts.at_most(LONGEST_FETCH_S))

    def _accepted(self, response: Response, api_key: str | None) -> Flow[_core.PublicKey]:
        """Return the key that the router gave, and cache it; raises as `get` does."""
        if response.status != 200:
            raise server_key_error(response, self._base_url, api_key, self._api_key)
        key = _core.PublicKey.from_pem(self._pem_in(response))
        yield from self._judged(key.fingerprint)
        self._cache = key, time.monotonic()
        self._log.debug("router's key: RSA-%d %s", key.bits, key.fingerprint)
        return key

    def _judged(self, fingerprint: str) -> Flow[None]:
        """Refuse a key that matches no pin, or that the judge refuses."""
        if self._pins and fingerprint not in self._pins:
            if self._judge is not None:
                with suppress(NomyoError):  # the refusal itself says more
                    yield UseFiles(partial(self._judge.note_unpinned, fingerprint))
            error = SecurityError(f"the router's key {fingerprint} matches none of the pinned fingerprints")
            error.router_key = True
            raise error
        if self._judge is not None:
            ask: Callable[[str], None] = self._judge.note_pinned if self._pins else self._judge.judge
            yield UseFiles(partial(ask, fingerprint))

    def _pem_in(self, response: Response) -> bytes:
        """Return the body of an answer with status 200.

        Raises:
            SecurityError: It was refused, or there is no PEM in it.
        """
        body = usable_body(response)
        words = of_body(self._base_url, body)
        if words is None:
            return body
        error = SecurityError(words)
        error.no_router = True
        raise error

    def _fetch_once(self, timeouts: Timeouts, api_key: str | None) -> Flow[_core.PublicKey]:
        """Fetch the key, or share the outcome of the fetch under way."""
        given_up: _Fetching | None = None
        waits = 0
        while True:
            with self._lock:
                fetching = self._fetching
                if fetching is None or fetching is given_up:
                    mine = self._fetching = _Fetching(timeouts)
                    break
            if waits == MOST_WAITS:
                return (yield from self.fetch(timeouts, api_key))
            waits += 1
            yield Wait(fetching, timeouts.read_s)
            if not fetching.done():
                given_up = fetching
                continue
            error = fetching.exception()
            if _is_timeout(error) and fetching.timeouts != timeouts:
                continue  # the answer may come in the time of this request
            if error is not None:
                raise copy.copy(error)
            key = fetching.result()
            if key is not None:
                return key
        return (yield from self._fetch_for_all(mine, api_key))

    def _fetch_for_all(self, mine: _Fetching, api_key: str | None) -> Flow[_core.PublicKey]:
        """Fetch for all requests that wait on `mine`; if this request is cancelled, `mine` ends without a key."""
        outcome: _core.PublicKey | NomyoError | None = None
        try:
            response = yield from self._attempts.send(self._request(mine.timeouts))
            outcome = yield from self._accepted(response, api_key)
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


def _is_timeout(error: BaseException | None) -> bool:
    return isinstance(error, APIConnectionError) and error.timed_out
