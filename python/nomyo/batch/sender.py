"""One row to one answer: when it may leave, and what is done where it fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from nomyo.batch.admission import Admission, Outage
from nomyo.batch.records import BadRow, Row
from nomyo.batch.verdict import Verdict, in_short, verdict
from nomyo.errors import (
    APIConnectionError,
    APIError,
    BatchError,
    NomyoError,
    RateLimitError,
    SecurityError,
    ServiceUnavailableError,
)
from nomyo.exchange.retries import delay_before
from nomyo.response import ChatCompletionResponse

Create = Callable[[dict[str, Any]], Awaitable[ChatCompletionResponse]]
SUSPICIOUS_IN_A_ROW: Final = 20
"""So many failures of this kind and no answer: a key changed that is pinned, or somebody is in between."""

LOSSES_OF_ONE_ROW: Final = 5
"""So often is one request unanswered while others are answered, before it is at fault itself."""
_LEAST_BETWEEN_S: Final = 10.0
"""Troubles that follow each other faster are told once."""
_LONG_PAUSE_S: Final = 60.0
"""A longer one is told with its length, each time."""


class NotSent(Exception):  # noqa: N818 - it is an outcome, which no caller sees
    """The batch stopped before the row had an outcome; it stays to be done."""


class Sender:
    """Sends rows until it is told to stop, or has to.

    Args:
        create: Sends a chat completion, in one attempt.
        admission: Says when a request may leave.
        router_lives: Whether the router answers anything.
        max_retries: Extra attempts of a row where the failure may be its own.
        patience_s: Seconds for which the router may refuse or be away before the batch stops; it stops at once where a
            pause would last longer.
        tell: Called with words when the batch pauses.
    """

    def __init__(
        self,
        create: Create,
        admission: Admission,
        router_lives: Callable[[], Awaitable[bool]],
        *,
        max_retries: int,
        patience_s: float,
        tell: Callable[[str], None],
    ) -> None:
        self._create = create
        self._admission = admission
        self._router_lives = router_lives
        self._max_retries = max_retries
        self._patience_s = patience_s
        self._tell = tell
        self._outage = Outage()
        self._answers = 0
        self._told_at = -_LEAST_BETWEEN_S
        self._told_until = 0.0
        self._waiting: set[asyncio.Task[Any]] = set()
        self._trouble_since: float | None = None
        self._suspicious = 0
        self.stopping = False
        self.nothing_left: Callable[[], bool] = lambda: False
        """Whether all rows were begun."""
        self.failure: BatchError | None = None
        """Why it had to stop."""

    def stop(self) -> None:
        """Send no more; what was sent is waited for."""
        self.stopping = True
        for task in self._waiting:
            task.cancel()

    async def send(self, row: Row | BadRow) -> ChatCompletionResponse:
        """Return the answer to a row.

        Raises:
            NotSent: It has no outcome, because the batch stops.
            Exception: What went wrong with the row.
        """
        if isinstance(row, BadRow):
            raise row
        attempt = losses = 0
        answers = self._answers
        while True:
            await self._admitted()
            outcome = await self._attempt(row)
            if isinstance(outcome, ChatCompletionResponse):
                self._trouble_since, self._suspicious = None, 0
                self._answers += 1
                return outcome
            if verdict(outcome) is not Verdict.PAUSE:
                attempt += 1
            elif _may_be_its_own(outcome) and self._answers > answers:
                losses, answers = losses + 1, self._answers
                if losses >= LOSSES_OF_ONE_ROW:
                    raise outcome
            await self._after(outcome, attempt)

    async def _admitted(self) -> None:
        """Return when a request may be sent."""
        with self._until_stopped():
            await self._outage.over()
            try:
                await self._admission.acquire()
            except Exception as error:  # noqa: BLE001 - whatever it is: nobody knows what may be sent
                self._give_up(error)

    async def _attempt(self, row: Row) -> ChatCompletionResponse | Exception:
        try:
            return await self._create(row.body)
        except Exception as error:  # noqa: BLE001 - it is judged
            return error

    async def _after(self, error: Exception, attempt: int) -> None:
        """Return when the row is to be sent once more; raise what becomes of it otherwise."""
        judged = verdict(error)
        self._suspicious += isinstance(error, SecurityError)
        if judged is not Verdict.PAUSE and isinstance(error, APIError):
            self._trouble_since = None  # the router is there
            if error.retry_after is not None:
                await self._noted(error)
        if judged is Verdict.STOP or self._suspicious >= SUSPICIOUS_IN_A_ROW:
            self._give_up(error)
        if judged is Verdict.FAILED:
            raise error
        if judged is Verdict.PAUSE:
            assert isinstance(error, NomyoError)
            await self._pause(error)
            return
        delay_s = delay_before(attempt)
        if attempt > self._max_retries or delay_s is None:
            raise error
        with self._until_stopped():
            await asyncio.sleep(delay_s)

    async def _pause(self, error: NomyoError) -> None:
        now = time.monotonic()
        begins = self._trouble_since is None
        if self._trouble_since is None:
            self._trouble_since = now
        pause_s = await self._noted(error)
        since = self._trouble_since
        if since is not None and now + pause_s - since > self._patience_s:  # None: another was answered meanwhile
            await self._out_of_patience(error, now - since)
            return
        if (begins and now >= self._told_at + _LEAST_BETWEEN_S) or (
            pause_s > _LONG_PAUSE_S and now + pause_s > self._told_until + 1
        ):
            self._told_at, self._told_until = now, now + pause_s
            self._tell(f"{in_short(error)}: waiting{self._how_long(error, pause_s)}")

    def _how_long(self, error: NomyoError, pause_s: float) -> str:
        if isinstance(error, APIConnectionError):  # a wrong address, perhaps
            return f", for {self._patience_s:,.0f} s at most"
        hint = " (a lower rate would spare that)" if isinstance(error, RateLimitError) else ""
        return f" for {pause_s:,.0f} s{hint}" if pause_s > _LONG_PAUSE_S else hint

    async def _out_of_patience(self, error: NomyoError, waited_s: float) -> None:
        """Stop; or fail a row at which each run would stop, and the batch would never end.

        That is one of the last, for no other's answer tells then whether it is the row. But the router gives its key.
        """
        began = self._trouble_since
        maybe = self.nothing_left() and _may_be_its_own(error) and waited_s > self._patience_s / 2
        if not maybe or not await self._router_lives():
            self._give_up(error)
        if self._trouble_since == began:  # else another took the blame meanwhile, which may have been its alone
            self._trouble_since = None
            raise error

    async def _noted(self, error: NomyoError) -> float:
        """Have everybody wait whom it concerns, and return for how many seconds."""
        if isinstance(error, APIConnectionError):
            return self._outage.note()
        try:
            return await self._admission.note(error)
        except Exception as fault:  # noqa: BLE001
            self._give_up(fault)

    def _give_up(self, error: Exception) -> NoReturn:
        if self.failure is None:
            words = f"{in_short(error)}: the batch stopped, and the same command goes on with it"
            self.failure = BatchError(words, status_code=error.status_code if isinstance(error, APIError) else None)
        self.stop()
        raise NotSent

    @contextmanager
    def _until_stopped(self) -> Iterator[None]:
        """Wait inside of the block no longer than until the batch stops."""
        task = asyncio.current_task()
        assert task is not None
        if self._told_to_stop():
            raise NotSent
        self._waiting.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._told_to_stop() or task.uncancel() > 0:
                raise  # somebody else cancels; asyncio.timeout tells them apart in the same way
        finally:
            self._waiting.discard(task)
        if self._told_to_stop():
            raise NotSent

    def _told_to_stop(self) -> bool:
        return self.stopping


def _may_be_its_own(error: Exception) -> bool:
    """Return whether a failure that should concern all can come of one request: one that the router dies of, say."""
    return isinstance(error, ServiceUnavailableError) or (isinstance(error, APIConnectionError) and error.sent)
