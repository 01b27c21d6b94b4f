"""The rate governor: lets requests go as the service's rules allow, for all processes of a user that use one API key.

    governor = Governor.shared(Limits(requests_per_s=2), api_key=...)
    async with governor.turn():
        await client.create(...)

The books are kept in a small file (`shared_file`), whose name is a slow hash of the API key and the router's URL. It
holds only times and counts. The governor controls when requests start; the network may then bring them closer together.
If that matters, use a lower rate. Processes of other users and in other containers keep books of their own.

The client should not retry by itself (`max_retries=0`): the governor does not see its retries, and a retry after a 503
would come in the middle of the cool-down.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from nomyo._warn import warn
from nomyo.errors import NomyoError
from nomyo.exchange.settings import DEFAULT_BASE_URL, Settings
from nomyo.exchange.tracebacks import clears_traceback

from .clock import Clock, SystemClock
from .ledger import Ledger
from .limits import SECOND_NS, Limits
from .rate_headers import MAX_FIGURE, Advice, Stated, closed_s, stated_in
from .shared_file import BusyError, ProcessMemory, SharedFile, default_directory
from .token_pace import Charge

_T = TypeVar("_T")

DIRECTORY_VARIABLE: Final = "NOMYO_RATE_DIR"
_WARN_AFTER_NS: Final = 10 * SECOND_NS
_MIN_RETRY_NS: Final = SECOND_NS // 1000
_MAX_RETRY_NS: Final = SECOND_NS // 100
_ROUNDS: Final = 250_000
_MOST_CORRECTIONS: Final = 10_000


class Governor:
    """Lets the requests of one event loop go: first come, first served, in turn with other processes.

    Args:
        limits: The service's rules. Processes with different rules share the same books; each keeps to its own rules.
        books: Where the books are kept; by default in this process's memory.
        clock: The clock.
        fallback: Books to go on with if `books` fail with an OSError; None if the error is raised.
    """

    def __init__(
        self,
        limits: Limits,
        books: SharedFile | ProcessMemory | None = None,
        clock: Clock | None = None,
        fallback: ProcessMemory | None = None,
    ) -> None:
        self._limits = limits
        self._books = ProcessMemory() if books is None else books
        self._fallback = fallback
        self._clock = SystemClock() if clock is None else clock
        self._queue = asyncio.Lock()
        self._known: Ledger | None = None
        self._corrections: list[tuple[Charge, int]] = []
        """Charges that are not yet corrected in the books, because another process used them."""
        self._heeded: dict[str, Stated] = {}
        """What headers said that is not yet in the books."""
        self._asked_ns = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    @classmethod
    @clears_traceback
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

        Hashing the key takes about 0.1 s. If the default directory cannot be used, now or later (it is full or
        read-only), a warning says so, and the books are kept in this process alone.

        Args:
            limits: The service's rules.
            base_url: The router, as a client takes it.
            api_key: The key, as a client takes it; None reads `NOMYO_API_KEY`.
            directory: The directory of the books; it is made if its parent exists. None reads `NOMYO_RATE_DIR`; if that
                is not set, the books are in a directory of this user's in /dev/shm.
            clock: The clock.

        Raises:
            OSError: The given directory cannot be made or used.
            SecurityError: The directory, or a file in it, is a link, another user's, or open to others.
            ValueError: `base_url` is not an address.
        """
        settings = Settings(base_url=base_url, api_key=api_key)
        name = name_of(settings.base_url, settings.api_key or "")
        chosen = directory if directory is not None else os.environ.get(DIRECTORY_VARIABLE)
        books = SharedFile(Path(chosen) if chosen else default_directory(), name)
        try:
            with suppress(BusyError), books.locked():
                pass
        except OSError as error:
            if directory is not None:
                raise
            if chosen:
                raise OSError(error.errno, error.strerror, f"{DIRECTORY_VARIABLE} ({error.filename})") from None
            warn(_unshared_message(error), stacklevel=3)
            return cls(limits, None, clock)
        return cls(limits, books, clock, None if chosen else ProcessMemory())

    @property
    def paused_s(self) -> float:
        """For how many more seconds nothing is sent because the service asked for a pause, as far as is known here."""
        until_ns = 0 if self._known is None else self._known.pause.until_ns
        return max(0, until_ns - self._clock.now_ns()) / SECOND_NS

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[None]:
        """Wait until a request may be sent, run the block, and record its outcome: an answer, or the error raised."""
        await self.acquire()
        try:
            yield
        except NomyoError as error:
            await self.note(error)
            raise
        self.answered()

    async def acquire(self) -> None:
        """Wait until a request may be sent, and count it as sent now.

        Raises:
            OSError: The books cannot be written; nothing may be sent then.
            RuntimeError: This governor was used in another event loop before.
            SecurityError: The books were replaced by a link, or by a file of another user.
        """
        await self.acquire_tokens(0)

    @property
    def counts_tokens(self) -> bool:
        """Whether there is a rate of tokens, of its own or by the service's headers."""
        said = None if self._known is None else self._known.advice.get("tokens")
        return self._limits.tokens_per_min is not None or said is not None

    async def acquire_tokens(self, tokens: int) -> Charge:
        """Wait until a request of so many tokens may be sent, and count it as sent now.

        Args:
            tokens: What prompt and answer are expected to take; counts if `limits` has a rate of tokens.

        Returns:
            What the request was charged with, for `used`.

        Raises:
            OSError, RuntimeError, SecurityError: As for `acquire`.
        """
        self._check_loop()
        wanted = min(tokens, self._limits.tokens_per_min or MAX_FIGURE) if self.counts_tokens else 0
        async with self._queue:
            ticket = secrets.token_hex(8)
            try:
                while wait_ns := await self._change(lambda ledger, now_ns: self._ask(ledger, ticket, now_ns, wanted)):
                    await self._clock.sleep(wait_ns)
            except BaseException:
                # If this fails, the place in line is passed over when it is overdue.
                self._change_if_possible(lambda ledger: ledger.leave(ticket))
                raise
            return Charge(self._asked_ns, wanted)

    def used(self, charge: Charge, tokens: int) -> None:
        """Correct the charge of a request by the tokens that its answer took. It neither waits nor raises."""
        if tokens != charge.tokens and self.counts_tokens:
            self._corrections = [*self._corrections, (charge, tokens)][-_MOST_CORRECTIONS:]
            self._change_if_possible(lambda _: None)

    async def note(self, error: BaseException) -> float:
        """Pause all requests that use the key, if an error of the service asks for it (see `pauses`).

        Returns:
            The seconds until anything is sent again; 0.0 if there is no pause. A request whose error leads to a pause
            was refused, and may be sent again after the pause.

        Raises:
            OSError: The books cannot be written.
            RuntimeError: This governor was used in another event loop before.
            SecurityError: The books were replaced by a link, or by a file of another user.
        """
        self._check_loop()
        await self._change(lambda ledger, now_ns: ledger.pause.note(self._limits, error, now_ns))
        return self.paused_s

    @property
    def settled(self) -> bool:
        """Whether one more answer would change nothing in the books, as far as is known here."""
        return self._known is not None and self._known.pause.settled

    def answered(self) -> None:
        """Record an answer, which clears earlier refusals (see `pauses`). Best effort: it neither waits nor raises.

        It raises nothing because its caller holds an answer that was paid for.
        """
        if not self.settled:
            self._change_if_possible(lambda ledger: ledger.pause.answered())

    def heed(self, headers: Mapping[str, str]) -> float:
        """Keep to what an answer's headers say of the service's limits (see `rate_headers`) where that is stricter.

        Best effort: it neither waits nor raises.

        Args:
            headers: The answer's headers, by names in lower case.

        Returns:
            The seconds for which the headers allow no request.
        """
        stated = dict(stated_in(headers))
        if not stated:
            return 0.0
        self._heeded = stated
        self._change_if_possible(lambda _: None)
        return closed_s(stated)

    def _check_loop(self) -> None:
        """Refuse a second event loop. asyncio's own lock would only do so if two tasks happen to wait for it."""
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        if self._loop is not loop:
            raise RuntimeError(
                "a Governor belongs to one event loop: make one for each by Governor.shared, and they keep one rate"
            )

    def _ask(self, ledger: Ledger, ticket: str, now_ns: int, tokens: int) -> int:
        self._asked_ns = now_ns
        return ledger.ask(self._limits, ticket, now_ns, tokens)

    async def _change(self, step: Callable[[Ledger, int], _T]) -> _T:
        """Apply a step to the books, as soon as no other process uses them."""
        warn_at_ns = self._clock.now_ns() + _WARN_AFTER_NS
        while True:
            try:
                return self._change_now(step)
            except BusyError:
                await self._clock.sleep(random.randint(_MIN_RETRY_NS, _MAX_RETRY_NS))  # noqa: S311
            if self._clock.now_ns() > warn_at_ns:
                warn_at_ns += 6 * _WARN_AFTER_NS
                warn(_busy_message(self._books), stacklevel=2)

    def _change_now(self, step: Callable[[Ledger, int], _T]) -> _T:
        try:
            return self._change_in(self._books, step)
        except OSError as error:
            if self._fallback is None:
                raise
            words = _unshared_message(error)
        self._books, self._fallback = self._fallback, None  # first: a filter may make the warning an error
        warn(words, stacklevel=2)
        return self._change_in(self._books, step)

    def _change_if_possible(self, step: Callable[[Ledger], None]) -> None:
        """Apply a step whose loss costs little. If the books fail, the next call of `_change` reports it."""
        with suppress(Exception):
            self._change_in(self._books, lambda ledger, _: step(ledger))

    def _change_in(self, books: SharedFile | ProcessMemory, step: Callable[[Ledger, int], _T]) -> _T:
        with books.locked() as content:
            # Read within the lock, so that moments are recorded in their order.
            now_ns = self._clock.now_ns()
            before = content.read()
            # What this process knows still holds if the books were lost: systemd, for example, clears a user's /dev/shm
            # at the last logout (RemoveIPC= in logind.conf(5)).
            ledger = Ledger.parse(before, self._clock.boot, self._limits, now_ns, self._known)
            corrections = self._corrections
            for charge, tokens in corrections:
                ledger.settle(self._limits, charge, tokens, now_ns)
            for kind, stated in self._heeded.items():
                ledger.advice.setdefault(kind, Advice(now_ns)).heed(stated, now_ns)
            outcome = step(ledger, now_ns)
            after = ledger.dump()
            if after != before:
                content.replace(after)
            self._known = ledger
            self._corrections, self._heeded = [], {}
        return outcome


def _unshared_message(error: OSError) -> str:
    return (
        "rates are kept in this process alone, and other processes do not know of them:"
        f" {error.filename} cannot be used ({error.strerror})"
    )


def _busy_message(books: SharedFile | ProcessMemory) -> str:
    path = books.path.with_suffix(".lock") if isinstance(books, SharedFile) else "the lock"
    return f"nothing is sent: another process holds {path}, and has perhaps been stopped; `fuser` tells which"


def name_of(base_url: str, api_key: str) -> str:
    """Return a name for a key at a service, from which the key cannot be found.

    PBKDF2 makes every guess take about 0.1 s. A random key would not need that, but a key that somebody thought up
    does. scrypt is not used, because hosts in FIPS mode lack it.
    """
    parts = urlsplit(base_url)
    port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    service = f"nomyo rate governor 1\0{parts.scheme}://{parts.hostname}:{port}{parts.path}"
    # Hashed first: a provider in FIPS mode may refuse an HMAC key that is short or empty, as an API key may be.
    secret = hashlib.sha256(api_key.encode()).digest()
    return hashlib.pbkdf2_hmac("sha256", secret, service.encode(), _ROUNDS, dklen=16).hex()
