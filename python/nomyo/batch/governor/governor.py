"""The rate governor: lets requests go as the service's rules allow, for all processes of a user that use one API key.

    governor = Governor.shared(Limits(requests_per_s=2), api_key=...)
    async with governor.turn():
        await client.create(...)

The books are kept in a small file (`shared_file`), whose name is a slow hash of the API key and the router's URL; it
holds times and counts alone. What is promised is about the moments at which turns begin: what the network does to
requests afterwards, a governor does not know. Whoever wants room for that asks for a lower rate. Processes of other
users and in other containers keep books of their own.

The client should not retry beside it (`max_retries=0`): a retry is a request that the governor does not see, and one
after a 503 comes in the middle of the cool-down.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import secrets
import warnings
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from nomyo.errors import NomyoError
from nomyo.exchange.discreet import discreet
from nomyo.exchange.settings import DEFAULT_BASE_URL, Settings

from .clock import Clock, SystemClock
from .ledger import Ledger
from .limits import SECOND_NS, Limits
from .shared_file import BusyError, OwnMemory, SharedFile, default_directory

_T = TypeVar("_T")

DIRECTORY_VARIABLE: Final = "NOMYO_RATE_DIR"
_WORD_AFTER_NS: Final = 10 * SECOND_NS
_SHORTEST_RETRY_NS: Final = SECOND_NS // 1000
_LONGEST_RETRY_NS: Final = SECOND_NS // 100


class Governor:
    """Lets the requests of one event loop go, first come, first served, taking turns with other processes.

    Args:
        limits: The service's rules. Processes with different ones share the same books, and keep to their own.
        books: Where the books are; this process's memory by default.
        clock: The time.
    """

    def __init__(self, limits: Limits, books: SharedFile | OwnMemory | None = None, clock: Clock | None = None) -> None:
        self._limits = limits
        self._books = OwnMemory() if books is None else books
        self._clock = SystemClock() if clock is None else clock
        self._first = asyncio.Lock()
        self._known: Ledger | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    @discreet
    def shared(
        cls,
        limits: Limits,
        base_url: str = DEFAULT_BASE_URL,
        api_key: str | None = None,
        *,
        directory: str | os.PathLike[str] | None = None,
        clock: Clock | None = None,
    ) -> Governor:
        """Make a governor that shares its books with all processes of this user that use the same key and URL.

        To hash the key takes about 0.1 s. Where the default directory cannot be used, it says so by a warning and keeps
        books of this process alone.

        Args:
            limits: The service's rules.
            base_url: The router, as a client takes it.
            api_key: The key, as a client takes it; None reads `NOMYO_API_KEY`.
            directory: Where the books are; made, if its parent exists. None reads `NOMYO_RATE_DIR`; without it, a
                directory of this user's in /dev/shm.
            clock: The time.

        Raises:
            OSError: The given directory cannot be made or used.
            SecurityError: The directory, or a file of it, is a link, another user's, or open to others.
            ValueError: The URL is none.
        """
        asked = Settings(base_url=base_url, api_key=api_key)
        name = name_of(asked.base_url, asked.api_key or "")
        chosen = directory if directory is not None else os.environ.get(DIRECTORY_VARIABLE)
        books = SharedFile(Path(chosen) if chosen else default_directory(), name)
        try:
            with suppress(BusyError), books.locked():
                pass
        except OSError as error:
            if chosen:
                raise
            warnings.warn(
                f"rates are kept in this process alone, and other processes may send beside it: {books.path.parent}"
                f" cannot be used ({error.strerror})",
                stacklevel=3,
            )
            return cls(limits, None, clock)
        return cls(limits, books, clock)

    @property
    def paused_s(self) -> float:
        """For how many more seconds nothing is sent because the service asked for it, as far as is known here."""
        until_ns = 0 if self._known is None else self._known.pause.until_ns
        return max(0, until_ns - self._clock.now_ns()) / SECOND_NS

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait until a request may be sent, run the block, and note the error that ends it."""
        await self.acquire()
        try:
            yield
        except NomyoError as error:
            await self.note(error)
            raise

    async def acquire(self) -> None:
        """Wait until a request may be sent, and count it as sent now.

        Raises:
            OSError: The books cannot be written; nothing may be sent then.
            RuntimeError: This governor was used in another event loop before.
            SecurityError: Somebody put a link or a file of their own in their place.
        """
        self._stay_in_one_loop()
        async with self._first:
            ticket = secrets.token_hex(8)
            try:
                while wait_ns := await self._change(lambda ledger, now_ns: self._ask(ledger, ticket, now_ns)):
                    await self._clock.sleep(wait_ns)
            except BaseException:
                # Best effort: a place that nobody holds any more is passed over when it is overdue.
                with suppress(BusyError, OSError, NomyoError):
                    self._change_now(lambda ledger, _: ledger.leave(ticket))
                raise

    async def note(self, error: BaseException) -> float:
        """Pause all requests that use the key, where an error of the service asks for it (see `pauses`).

        Returns:
            The seconds until anything is sent again; 0.0 where nothing is in the way. A request whose error leads to a
            pause was refused, and may be sent again after it.

        Raises:
            OSError: The books cannot be written.
            RuntimeError: This governor was used in another event loop before.
            SecurityError: Somebody put a link or a file of their own in their place.
        """
        self._stay_in_one_loop()
        await self._change(lambda ledger, now_ns: ledger.pause.note(self._limits, error, now_ns))
        return self.paused_s

    def _stay_in_one_loop(self) -> None:
        """Refuse a second event loop always, not only where two tasks happen to wait for the lock between them."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise RuntimeError(
                "a Governor is of one event loop: make one for each by Governor.shared, and they keep one rate"
            )

    def _ask(self, ledger: Ledger, ticket: str, now_ns: int) -> int:
        return ledger.ask(self._limits, ticket, now_ns)

    async def _change(self, step: Callable[[Ledger, int], _T]) -> _T:
        """Make a step in the books as soon as no other process is at them."""
        word_at_ns = self._clock.now_ns() + _WORD_AFTER_NS
        while True:
            try:
                return self._change_now(step)
            except BusyError:
                await self._clock.sleep(random.randint(_SHORTEST_RETRY_NS, _LONGEST_RETRY_NS))  # noqa: S311
            if self._clock.now_ns() > word_at_ns:
                word_at_ns += 6 * _WORD_AFTER_NS
                warnings.warn(_busy_word(self._books), stacklevel=2)

    def _change_now(self, step: Callable[[Ledger, int], _T]) -> _T:
        with self._books.locked() as turn:
            # Within the lock: what is recorded are the very moments, in the order in which they came.
            now_ns = self._clock.now_ns()
            before = turn.read()
            # What is known holds on where the books were lost: systemd, say, clears /dev/shm of a user who logs out
            # (RemoveIPC= in logind.conf(5)).
            ledger = Ledger.parse(before, self._clock.boot, self._limits, now_ns, self._known)
            outcome = step(ledger, now_ns)
            after = ledger.dump()
            if after != before:
                turn.replace(after)
            self._known = ledger
        return outcome


def _busy_word(books: SharedFile | OwnMemory) -> str:
    path = books.path.with_suffix(".lock") if isinstance(books, SharedFile) else "the lock"
    return f"nothing is sent: another process holds {path}, and has perhaps been stopped; `fuser` tells which"


def name_of(base_url: str, api_key: str) -> str:
    """Return a name for a key at a service, from which the key cannot be found.

    scrypt (RFC 7914) makes every guess take 16 MiB and about 0.1 s: most keys are random and could be hashed by
    anything, one that somebody thought up could not.
    """
    parts = urlsplit(base_url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    service = f"nomyo rate governor 1\0{parts.scheme}://{parts.hostname}:{port}{parts.path}"
    return hashlib.scrypt(api_key.encode(), salt=service.encode(), n=2**14, r=8, p=1, dklen=16).hex()
