"""Sends one row and returns one answer: decides when the row may leave, and what follows a failure."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, Final, NoReturn, TypeGuard, TypeVar

from nomyo._plurals import counted
from nomyo.batch.admission import Admission, AnswerListener, Outage, describe_next_try
from nomyo.batch.budget import Budget, Spending
from nomyo.batch.governor.token_pace import Charge
from nomyo.batch.records import BadRow, Row
from nomyo.batch.row_tokens import RowTokens
from nomyo.batch.token_meter import TokenMeter, taken_by
from nomyo.batch.verdict import Verdict, describe_failure, is_unrelated_to_rates, may_refuse_account, verdict
from nomyo.errors import (
    APIConnectionError,
    APIError,
    BatchError,
    NomyoError,
    RateLimitError,
    SecurityError,
    ServerError,
    ServiceUnavailableError,
)
from nomyo.exchange.retries import delay_before
from nomyo.responses import ChatCompletionResponse

_T = TypeVar("_T")
Create = Callable[[dict[str, Any]], Awaitable[ChatCompletionResponse]]
SUSPICIOUS_WITHOUT_ANSWER: Final = 20
"""After this many unsafe answers in a row, the batch stops: a pinned key changed, or somebody is in between."""

REFUSED_WITHOUT_ANSWER: Final = 10
"""After this many rows refused with 402 since the last answer, or with 403 before any, the account is at fault."""

LOSSES_OF_ONE_ROW: Final = 5
"""If one request is unanswered this often while others are answered, the row is at fault."""
FIRST_PATIENCE_S: Final = 60.0
"""How long an address may stay silent that never answered: it is wrong, or its router is starting."""
_MIN_BETWEEN_REPORTS_S: Final = 10.0
"""Failures that follow each other faster are reported once."""
_LONG_PAUSE_S: Final = 60.0
"""A longer pause is reported each time, with its length."""


class NotSent(Exception):  # noqa: N818 - it is an outcome, which no caller sees
    """The batch stopped before the row had an outcome; the row stays to be done."""


class Sender:
    """Sends rows until `stop` is called, or until a failure stops the batch.

    Args:
        create: Sends a chat completion, in one attempt.
        admission: Decides when a request may leave.
        router_is_alive: Returns whether the router answers at all.
        max_retries: Extra attempts of a row if the failure may be its own.
        patience_s: Seconds for which the router may refuse or be away before the batch stops. The batch stops at once
            if a single pause would last longer.
        report: Called with a message when the batch pauses.
        server_key: Waits until the router's key is known, without which no row is sent; returns whether the router gave
            it.
        address: The router's address, for messages.
        budget: What all rows may take.
        spending: Counts what they take, in place of `budget`.
    """

    def __init__(
        self,
        create: Create,
        admission: Admission,
        router_is_alive: Callable[[], Awaitable[bool]],
        *,
        max_retries: int,
        patience_s: float,
        report: Callable[[str], None],
        server_key: Callable[[], Awaitable[bool]] | None = None,
        address: str = "the router",
        budget: Budget | None = None,
        spending: Spending | None = None,
    ) -> None:
        self._create = create
        self._admission = admission
        self._meter = TokenMeter(admission)
        self.spending = spending or Spending(budget or Budget())
        self._router_is_alive = router_is_alive
        self._max_retries = max_retries
        self._patience_s = patience_s
        self._report = report
        self._server_key = server_key
        self._address = address
        self._outage = Outage()
        self._admission_fault: Exception | None = None
        self._answers = 0
        self._refused = 0
        self._reported_at = -_MIN_BETWEEN_REPORTS_S
        self._trouble_reported = False
        self._reported_until = 0.0
        self._waiting: set[asyncio.Task[Any]] = set()
        self._trouble_since: float | None = None
        self._suspicious = 0
        self.reached = False
        """Whether the router ever answered, with whatever status."""
        self.stopping = False
        self.all_begun: Callable[[], bool] = lambda: False
        """Returns whether all rows were begun."""
        self.failure: BatchError | None = None
        """Why the batch had to stop."""

    def stop(self) -> None:
        """Send no more rows. Rows that were sent are waited for."""
        self.stopping = True
        for task in self._waiting:
            task.cancel()

    async def send(self, row: Row | BadRow) -> ChatCompletionResponse:
        """Return the answer to a row.

        Raises:
            NotSent: The row has no outcome, because the batch stops.
            Exception: The row's outcome is this error.
        """
        if isinstance(row, BadRow):
            raise row
        with self._until_stopped():
            try:
                reserved = await self.spending.reserve(lambda: self._meter.estimate.of(row.body))
            except BatchError as error:  # nobody knows what is left of the budget
                self._give_up(error)
        if reserved is None:
            self.stop_at_limit()
            raise NotSent
        answer = None
        try:
            answer = await self._answer(row)
        finally:
            self.spending.release(reserved, (0, 0) if answer is None else taken_by(answer, reserved))
        return answer

    def stop_at_limit(self) -> None:
        """Send no more rows, because a budget or a deadline ends the batch; report it once."""
        if not self.stopping:
            self._report(self.spending.describe())
            self.stop()

    async def _answer(self, row: Row) -> ChatCompletionResponse:
        attempt = losses = pauses = 0
        answers = self._answers
        while True:
            charge = await self._wait_for_admission(row)
            began = time.monotonic()
            outcome = await self._attempt(row)
            if isinstance(outcome, ChatCompletionResponse):
                self.spending.took(time.monotonic() - began)
                self._note_answer(row, charge, outcome)
                return outcome
            if verdict(outcome) is not Verdict.PAUSE:
                attempt += 1
                await self._wait_for_retry(outcome, attempt)
                continue
            if _may_be_row_fault(outcome) and self._answers > answers:
                losses, answers = losses + 1, self._answers
                if losses >= LOSSES_OF_ONE_ROW:
                    raise outcome
            await self._pause_all(outcome)
            pauses += 1
            with self._until_stopped():
                await self._outage.wait_before_retry(pauses)

    def heed(self, headers: Mapping[str, str]) -> None:
        """Keep to the rate headers of an answer; best effort, because the answer is paid for."""
        with suppress(Exception):
            self._meter.heed(headers, self._report)

    def begin_with(self, earlier: RowTokens) -> None:
        """Count what the rows of earlier runs took, and estimate by their answers."""
        self.spending.spent = earlier.total
        self._meter.estimate.learn_answer(earlier.largest_answer)

    async def unless_stopped(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Await work, which is cancelled if the batch stops.

        Raises:
            NotSent: The batch was stopped, before or meanwhile.
        """
        with self._until_stopped():
            return await work()

    def may_be_account_fault(self, error: Exception | None) -> TypeGuard[APIError]:
        """Return whether a refusal may be the account's fault. A later answer, or the end of the rows, decides."""
        return error is not None and may_refuse_account(error) and self._blames_account(error)

    def stop_if_account_at_fault(self, refusals: Sequence[APIError], *, earlier_answers: bool) -> None:
        """Stop the batch at the end of its rows if refusals may be the account's fault.

        The refused rows then stay to be done. This run must have had no answer. A 402 is the account's fault. A 403 may
        be the row's own fault, and is treated so if an earlier run had answers; without any answer nobody can tell, and
        a row that stays to be done is not lost.

        Args:
            refusals: The refusals for which `may_be_account_fault` is True.
            earlier_answers: Whether there are answers of another run, or of another sender.
        """
        at_fault = [each for each in refusals if each.status_code == HTTPStatus.PAYMENT_REQUIRED or not earlier_answers]
        if self._answers or self.stopping or not at_fault:
            return
        refused = counted(len(refusals), "row")
        why = f"the router answered nothing, and refused {refused} (HTTP {at_fault[-1].status_code})"
        with suppress(NotSent):
            self._give_up(at_fault[-1], why)

    def _blames_account(self, refusal: APIError) -> bool:
        return refusal.status_code == HTTPStatus.PAYMENT_REQUIRED or not self._answers

    def _note_answer(self, row: Row, charge: Charge | None, answer: ChatCompletionResponse) -> None:
        self._note_router_alive()
        self._suspicious = self._refused = 0
        self._answers += 1
        try:
            self._meter.answered(row.body, charge, answer)
            if isinstance(self._admission, AnswerListener):
                self._admission.answered()
        except Exception as fault:  # noqa: BLE001 - the answer is paid for, so it is kept; the next row stops the batch
            self._admission_fault = fault.with_traceback(None)

    def _note_router_alive(self) -> None:
        """Record that the router is there and works."""
        self._trouble_since, self._trouble_reported, self.reached = None, False, True
        self._outage.answered()

    async def _wait_for_admission(self, row: Row) -> Charge | None:
        """Wait until a request may be sent; return what it was charged with."""
        with self._until_stopped():
            await self._outage.wait_until_over()
            if self._admission_fault is not None:
                self._give_up(self._admission_fault)
            try:
                charge = await self._meter.acquire(row.body)
            except Exception as error:  # noqa: BLE001 - after any error, nobody knows whether a request may be sent
                self._give_up(error)
        if self.spending.is_late():
            self.stop_at_limit()
            raise NotSent
        return charge

    async def _attempt(self, row: Row) -> ChatCompletionResponse | Exception:
        try:
            if self._server_key is not None:
                await self._wait_for_server_key(self._server_key)
            return await self._create(row.body)
        except NotSent:
            raise
        except Exception as error:  # noqa: BLE001 - the caller judges it
            return error

    async def _wait_for_server_key(self, server_key: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the router's key is known. A failure here says nothing about the row that waits."""
        try:
            given = await self.unless_stopped(server_key)
        except (NomyoError, OSError) as error:
            if verdict(error) is Verdict.PAUSE and (self._answers or not isinstance(error, ServerError)):
                raise
            fault = error
        else:
            self.reached = self.reached or given
            return
        self._give_up(fault)

    async def _wait_for_retry(self, error: Exception, attempt: int) -> None:
        """Wait until the row is to be sent again; raise the error if it is the row's outcome."""
        judged = verdict(error)
        self._suspicious += isinstance(error, SecurityError)
        if isinstance(error, APIError):
            self._note_router_alive()
            if error.retry_after is not None:
                await self._note_pause(error)
        if may_refuse_account(error) and self._blames_account(error):
            self._refused += 1
            if self._refused >= REFUSED_WITHOUT_ANSWER:
                refused = counted(self._refused, "row")
                why = f"the router refused {refused}, and answered none since (HTTP {error.status_code})"
                self._give_up(error, why)
        if judged is Verdict.STOP or self._suspicious >= SUSPICIOUS_WITHOUT_ANSWER:
            self._give_up(error)
        if judged is Verdict.FAILED:
            raise error
        delay_s = delay_before(attempt)
        if attempt > self._max_retries or delay_s is None:
            raise error
        with self._until_stopped():
            await asyncio.sleep(delay_s)

    async def _pause_all(self, error: Exception) -> None:
        assert isinstance(error, NomyoError)
        self.reached = self.reached or isinstance(error, APIError)
        now = time.monotonic()
        if self._trouble_since is None:
            self._trouble_since = now
        pause_s = await self._note_pause(error)
        since = self._trouble_since
        if since is not None and now + pause_s - since > self._patience_s:  # None: another row was answered meanwhile
            await self._end_patience(error, now - since)
            return
        if not self.reached and since is not None and now - since >= self._patience_with(error):
            self._give_up(error)
        if not pause_s and isinstance(error, APIConnectionError):
            return  # a connection that was lost while other rows are answered
        if (not self._trouble_reported and now >= self._reported_at + _MIN_BETWEEN_REPORTS_S) or (
            pause_s > _LONG_PAUSE_S and now + pause_s > self._reported_until + 1
        ):
            self._reported_at, self._reported_until, self._trouble_reported = now, now + pause_s, True
            words = f"{describe_failure(error, self._address)}: waiting{self._how_long(error, pause_s)}"
            left_s = self._patience_with(error) - (0.0 if since is None else now - since)
            self._report(words if pause_s > left_s else words + describe_next_try(error, pause_s))

    def _patience_with(self, error: NomyoError) -> float:
        """Return for how many seconds this failure is tolerated: fewer if the address or certificate may be wrong."""
        if self.reached or not isinstance(error, APIConnectionError) or error.timed_out:
            return self._patience_s
        return 0.0 if error.untrusted else min(FIRST_PATIENCE_S, self._patience_s)

    def _how_long(self, error: NomyoError, pause_s: float) -> str:
        if isinstance(error, APIConnectionError):  # a wrong address, perhaps
            return f", for {self._patience_with(error):,.0f} s at most"
        hint = " (a lower rate would spare that)" if isinstance(error, RateLimitError) else ""
        return f" for {pause_s:,.0f} s{hint}" if pause_s > _LONG_PAUSE_S else hint

    async def _end_patience(self, error: NomyoError, waited_s: float) -> None:
        """Stop the batch; or fail one of the last rows, if each run would stop at it and the batch would never end.

        For the last rows, no other row's answer can show that the row is at fault. But the router still gives its key.
        """
        began = self._trouble_since
        maybe = self.all_begun() and _may_be_row_fault(error) and waited_s > self._patience_s / 2
        if not maybe or not await self._router_is_alive():
            self._give_up(error)
        if self._trouble_since == began:  # else another row was failed meanwhile, and may alone have been at fault
            self._trouble_since = None
            raise error

    async def _note_pause(self, error: NomyoError) -> float:
        """Pause all requests that a failure concerns; return for how many seconds."""
        if is_unrelated_to_rates(error):
            return self._outage.note()
        try:
            return await self._admission.note(error)
        except Exception as fault:  # noqa: BLE001
            self._give_up(fault)

    def _give_up(self, error: Exception, why: str | None = None) -> NoReturn:
        if self.failure is None:
            reason = why or describe_failure(error, self._address)
            message = f"{reason}: the batch stopped, and the same command goes on with it"
            self.failure = BatchError(message, status_code=error.status_code if isinstance(error, APIError) else None)
        self.stop()
        raise NotSent

    @contextmanager
    def _until_stopped(self) -> Iterator[None]:
        """Cancel the block if the batch stops, and raise NotSent then."""
        task = asyncio.current_task()
        assert task is not None
        if self._is_stopping():
            raise NotSent
        self._waiting.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._is_stopping() or task.uncancel() > 0:
                raise  # another caller cancelled this task; asyncio.timeout tells the two apart in the same way
        finally:
            self._waiting.discard(task)
        if self._is_stopping():
            raise NotSent

    def _is_stopping(self) -> bool:
        return self.stopping


def _may_be_row_fault(error: Exception) -> bool:
    """Return whether a failure that usually concerns all rows may come from this row: if it makes the router crash."""
    return isinstance(error, (ServiceUnavailableError, APIConnectionError)) and error.sent
