"""One run of a batch: the engine of `create_many` between input and journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing

from nomyo._counts import total
from nomyo._create_many import Result, run_many_async
from nomyo._plurals import counted
from nomyo.batch.metrics_file import MetricsFile, kept_current
from nomyo.batch.opened import Opened, in_thread
from nomyo.batch.progress import Progress
from nomyo.batch.records import UNWRITABLE, BadRow, Row, answered, failed, is_success, tokens_of
from nomyo.batch.run_figures import RunFigures
from nomyo.batch.sender import NotSent, Sender
from nomyo.batch.summary import Summary
from nomyo.errors import DisposedError


class Run:
    """One run: rows of the input to the sender, and their outcomes to the journal.

    Args:
        opened: The files.
        sender: Sends a row.
        progress: Is told what happens.
        metrics: The file for figures; None if there is none.
    """

    def __init__(self, opened: Opened, sender: Sender, progress: Progress, metrics: MetricsFile | None) -> None:
        self._input = opened.source
        self._survey = opened.survey
        self._journal = opened.journal
        self._sender = sender
        self._sender.begin_with(opened.journal.tokens)
        self._sender.all_begun = lambda: self._taken == self._survey.rows - self._figures.done_before
        self._progress = progress
        self._metrics = metrics
        self._figures = RunFigures(opened.survey.rows, opened.journal.done, sender.spending)
        self._under_way: dict[int, Row | BadRow] = {}
        self._held_back: list[Result] = []
        """Refusals that may be the account's fault. They become their rows' outcomes if a later row is answered."""
        self._taken = 0

    async def run(self, concurrency: int, ordered: bool) -> Summary:
        """Send all rows that are not done, until the sender stops.

        Raises:
            BatchError, OSError: As the sender, the input and the journal raise them.
        """
        async with kept_current(self._metrics, self._figures, self._progress.tell):
            return await self._run(concurrency, ordered)

    async def _run(self, concurrency: int, ordered: bool) -> Summary:
        self._progress.begin(self._survey.rows, self._figures.done_before, self._journal.done.failed)
        try:
            if self._journal.dropped:
                self._progress.tell(f"dropped {counted(self._journal.dropped, 'damaged line')} of the output")
            await self._send_rows(concurrency, ordered)
            await self._judge_refusals()
            await self._journal.finish()
        finally:
            self._progress.end()
        await in_thread(self._input.verify)
        if self._sender.failure is not None:
            raise self._sender.failure
        return self._summary()

    async def _send_rows(self, concurrency: int, ordered: bool) -> None:
        results = run_many_async(self._sender.send, self._source(), concurrency, ordered)
        async with aclosing(results):  # type: ignore[type-var]
            async for result in results:
                await self._hold_back_or_write(result)

    async def _judge_refusals(self) -> None:
        """Write the refusals that no answer followed, unless they are the account's fault."""
        refusals = [each.error for each in self._held_back if self._sender.may_be_account_fault(each.error)]
        earlier = self._journal.done.rows - self._journal.done.failed
        self._sender.stop_if_account_at_fault(refusals, earlier_answers=earlier > 0)
        if not self._sender.stopping:  # else these rows are to be done yet
            await self._write_refusals(self._taken)

    def _summary(self) -> Summary:
        done = self._journal.done
        return Summary(
            self._survey.rows,
            done.rows - done.failed,
            done.failed,
            self._figures.done_before,
            *self._figures.tokens,
            reasons=self._figures.reasons.most_frequent_first(),
            limit=self._figures.limit,
            cost=self._figures.cost,
        )

    def _source(self) -> Iterator[Row | BadRow]:
        """Yield the rows that are not done, until the sender stops."""
        for row in self._input.pending(self._journal.done):
            if self._sender.stopping:
                break
            self._under_way[self._taken] = row
            self._taken += 1
            yield row

    async def _hold_back_or_write(self, result: Result) -> None:
        if self._sender.may_be_account_fault(result.error):
            self._held_back.append(result)
            return
        if result.response is not None:
            await self._write_refusals(result.index)
        await self._write(result)

    async def _write_refusals(self, before: int) -> None:
        """Write the held-back refusals of rows before this one. An answer tells nothing about rows sent after it."""
        due = [refusal for refusal in self._held_back if refusal.index < before]
        self._held_back = [refusal for refusal in self._held_back if refusal.index >= before]
        for refusal in due:
            await self._write(refusal)

    async def _write(self, result: Result) -> None:
        """Write the outcome of a row."""
        row = self._under_way.pop(result.index)
        if isinstance(result.error, NotSent | DisposedError):
            return
        if isinstance(row, Row) and result.response is not None:
            written = answered(row, result.response)
        else:
            assert result.error is not None
            written = failed(row.line, row.custom_id, result.error)
        await self._journal.append(written)
        failure = None if is_success(written) else result.error or UNWRITABLE
        tokens = (0, 0) if result.response is None else tokens_of(result.response)
        self._figures.add(tokens, failure)
        self._progress.row(failed=failure is not None, tokens=total(*tokens))
