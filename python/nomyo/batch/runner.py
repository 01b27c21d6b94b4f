"""Runs a batch from its first row to its last. Memory holds the rows under way, and one bit for each row."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, closing, suppress
from dataclasses import dataclass, field, replace
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, Unpack

from nomyo._checks import check_int, check_number
from nomyo._counts import total
from nomyo._create_many import Result, run_many_async
from nomyo._create_request import prepare
from nomyo._plurals import counted
from nomyo._threads import submit_or_run
from nomyo.batch.admission import Admission
from nomyo.batch.budget import Budget, checked_budget
from nomyo.batch.client_options import BatchOptions, as_of_client, check_names
from nomyo.batch.data.options import DataOptions
from nomyo.batch.data.source import source_of
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.governor.limits import limits_at
from nomyo.batch.input_lines import Survey
from nomyo.batch.internal_errors import no_caller_fault
from nomyo.batch.journal import Journal
from nomyo.batch.metrics_file import MetricsFile, kept_current, metrics_at
from nomyo.batch.progress import Progress, guarded
from nomyo.batch.records import UNWRITABLE, BadRow, Row, answered, failed, is_success, tokens_of
from nomyo.batch.router_check import check_router, router_is_alive, server_key_known
from nomyo.batch.run_figures import RunFigures
from nomyo.batch.seal_key import seal_to
from nomyo.batch.sealed import Seal
from nomyo.batch.sender import NotSent, Sender
from nomyo.batch.source import Source
from nomyo.batch.stop import Stop
from nomyo.client import SecureCompletionClient
from nomyo.errors import DisposedError
from nomyo.exchange.own_names import named
from nomyo.exchange.settings import PATIENT_TIMEOUT_S
from nomyo.exchange.signatures import shows_options
from nomyo.exchange.tracebacks import clears_traceback
from nomyo.exchange.workers import file_pool
from nomyo.responses import ChatCompletionResponse

_P = ParamSpec("_P")
_T = TypeVar("_T")
PATIENCE_S = 7200.0
"""Four times the cool-down of a key at the public service, so that a second one during the first is waited for."""


@dataclass(frozen=True, slots=True)
class Summary:
    """The state of a batch after a run."""

    rows: int
    """Rows of the input."""
    succeeded: int
    """Rows of the output that hold an answer."""
    failed: int
    """Rows of the output that hold an error."""
    done_before: int
    """Rows that were done before this run."""
    prompt_tokens: int
    """Tokens of the prompts that this run got answers for, as the router counts them."""
    completion_tokens: int
    """Tokens of the answers of this run, as the router counts them."""
    reasons: tuple[tuple[str, int], ...] = field(default=(), kw_only=True)
    """Why rows failed in this run, without content, each with the number of rows; the most frequent first."""
    table: Any = field(default=None, kw_only=True, repr=False, compare=False)
    """The rows with their answers, as a pyarrow table, if the input was a table and no output was named."""
    limit: str | None = field(default=None, kw_only=True)
    """The budget or deadline that ended this run before all rows were done, in words; None if none did."""
    cost: float | None = field(default=None, kw_only=True)
    """What all runs cost, by the prices of the budget; None without prices."""

    @property
    def left(self) -> int:
        """Rows that are not done, because the run was stopped, or a limit ended it."""
        return self.rows - self.succeeded - self.failed


@clears_traceback
@shows_options(BatchOptions, timeout=PATIENT_TIMEOUT_S, max_connections=32)
async def run_async(
    input: Any,  # noqa: A002 - as `nomyo batch` and subprocess.run have it
    output: str | os.PathLike[str] | None = None,
    *,
    data: DataOptions | None = None,
    concurrency: int = 32,
    rate: float | None = None,
    limits: Limits | None = None,
    token_rate: int | None = None,
    budget: Budget | None = None,
    ordered: bool = False,
    retry_errors: bool = False,
    max_retries: int = 2,
    patience: float = PATIENCE_S,
    encrypt_to: str | os.PathLike[str] | None = None,
    governor: Admission | None = None,
    progress: Progress | None = None,
    metrics_file: str | os.PathLike[str] | None = None,
    stop: Stop | None = None,
    **client_options: Unpack[BatchOptions],
) -> Summary:
    """Send every row of a file in OpenAI's batch format, or of a table, and write a row for each to another file.

    If it is called again with the same files, it goes on where it was interrupted. The file `output.batch`, beside the
    output, says which input the output belongs to; for tables and their files, it is `output.journal.batch`.

    Args:
        input: A file of rows, which must not change until the batch is done. With `data`, also a folder or a glob of
            files (Parquet, Arrow IPC, CSV, JSON lines), or a table that speaks the Arrow C stream.
        output: The file for the answers. If it is new, only its owner can read it. None, for a table and with
            `data.journal`: the summary has the answers as its `table`.
        data: How rows of a table become requests, and which columns the output has.
        concurrency: How many requests are under way at once.
        rate: Requests a second, from 0.0001 to 1,000; 0 for no limit. None takes the rate of `limits`.
        limits: The service's rules. All processes of this user that use the same API key at the same URL keep them
            together. By default: at the public service's address its own rules, elsewhere no rate, and a minute's pause
            after a 503.
        token_rate: Tokens a minute, of prompts and answers together, up to 10**9. None takes those of `limits`, which
            by default has no such limit. Processes with the same API key keep it together, as they do `rate`.
        budget: What the batch may take as a whole, over all its runs, in tokens, money and time. It stops before it
            would take more, and the same call with a larger budget goes on.
        ordered: Write rows in the order of the input, instead of as they complete.
        retry_errors: Send rows again whose outcome was an error in an earlier run.
        max_retries: Extra attempts after 500, 502, 504 and timeouts.
        patience: Seconds for which the router may be away, or refuse with 429 or 503, before the batch stops. Until
            then the batch pauses, and no row fails; except that one of the last rows fails if it alone gets 503, or
            loses its connection, each time.
        encrypt_to: The PEM file of an RSA public key (2048 to 8192 bits). Rows are sealed for it before they are
            written, and `read` opens them with the private key. An output is sealed for one key from its first row on.
        governor: Decides when a request may leave, in place of `rate`, `limits` and `token_rate`.
        progress: An object with the methods of `Progress`, to which the run reports. By default, the log `nomyo.batch`
            says why the batch pauses.
        metrics_file: A file for the figures of the run, replaced every two seconds: JSON, or text for Prometheus if its
            name ends in `.prom`. It holds no content. If it cannot be written later, the batch goes on.
        stop: An object that stops the run when it is called.
        client_options: As `SecureCompletionClient` takes them, with `base_url` for its `router_url`; but by default
            `timeout` is 600 s, and `max_connections` is `concurrency`.

    Returns:
        The state of the batch. Rows that failed are in the output, and raise nothing.

    Raises:
        BatchError: The batch cannot begin (another input, a foreign output, another process), or had to stop.
        OSError: A file cannot be read or written. The rows in the output count, and the same call goes on.
        ValueError, TypeError: An option is out of range or of the wrong type, or `encrypt_to` holds no public key.
        SecurityError: Plain HTTP, pins, key files.
    """
    check_int("concurrency", concurrency, 1)
    check_int("max_retries", max_retries, 0)
    check_number("patience", patience, 0)
    check_names(client_options)
    budget = checked_budget(budget)
    progress = guarded(progress)
    if not isinstance(stop, Stop | None):
        raise TypeError("stop must be a nomyo.batch.Stop")
    source = await _in_thread(source_of, input, output, data)
    metrics = metrics_at(metrics_file, (input, output), source.journal)
    # A mistyped name is told at once: a client makes a key pair, and a router that is away is waited for.
    await _in_thread(partial(source.check_output, sealed=encrypt_to is not None))
    await _in_thread(source.check_input)
    seal = await _in_thread(seal_to, encrypt_to, client_options)
    async with SecureCompletionClient(**as_of_client({"max_connections": concurrency, **client_options})) as client:
        admission = await _governor(client, rate, limits, token_rate) if governor is None else governor

        async def create(body: dict[str, Any]) -> ChatCompletionResponse:
            call = prepare(body, None, None, {})[0]
            try:
                return await client.send(call)
            finally:
                sender.heed(call.rate_headers)

        sender = Sender(
            create,
            admission,
            lambda: router_is_alive(client),
            max_retries=max_retries,
            patience_s=patience,
            report=progress.tell,
            server_key=lambda: server_key_known(client),
            address=client.settings.base_url,
            budget=budget,
        )
        (stop or Stop()).attach(sender)
        with suppress(NotSent), sender.spending.until_deadline(sender.stop_at_limit):
            sender.reached = await sender.unless_stopped(lambda: check_router(client))
        opened = await _open(source, ordered, retry_errors, concurrency, seal, budget.counts)
        with closing(source):
            async with opened.journal:
                try:
                    with no_caller_fault(), sender.spending.until_deadline(sender.stop_at_limit):
                        summary = await _Batch(opened, sender, progress, metrics).run(concurrency, ordered)
                        return summary if summary.left else replace(summary, table=await _finish(source, seal))
                except OSError as error:
                    error.add_note("what is in the output counts: the same command goes on")
                    raise


def _blocking(function: Callable[_P, Coroutine[Any, Any, Summary]]) -> Callable[_P, Summary]:
    """Return a blocking form of a coroutine function, with the same parameters and docstring."""
    # Python's error names this function if an argument is missing, or one too many.
    called: Callable[_P, Coroutine[Any, Any, Summary]] = named(function, "run")

    @wraps(function)
    def blocking(*args: _P.args, **kwargs: _P.kwargs) -> Summary:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise TypeError("an event loop runs here: await nomyo.batch.run_async(...)")
        return asyncio.run(called(*args, **kwargs))

    blocking.__name__ = blocking.__qualname__ = "run"
    return blocking


run = _blocking(run_async)
"""`run_async` for programs without an event loop: it takes the same arguments, and blocks until the batch is done."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """The files of a batch."""

    source: Source
    survey: Survey
    journal: Journal


async def _open(source: Source, *wanted: Any) -> _Opened:
    """Open the files of a batch in a thread. If this is cancelled, all of them are closed again."""
    cancelled = threading.Event()
    opening = _in_thread(_open_now, cancelled.is_set, source, *wanted)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        cancelled.set()
        with suppress(Exception):
            opened = await opening
            source.close()
            await opened.journal.aclose()
        raise


def _in_thread(function: Callable[..., _T], *arguments: Any) -> asyncio.Future[_T]:
    return asyncio.wrap_future(submit_or_run(file_pool, partial(function, *arguments)))


def _open_now(
    cancelled: Callable[[], bool],
    source: Source,
    ordered: bool,
    retry_errors: bool,
    concurrency: int,
    seal: Seal | None,
    counts_tokens: bool,
) -> _Opened:
    survey = source.open(cancelled)
    try:
        journal = Journal(
            source.journal,
            survey,
            ordered=ordered,
            retry_errors=retry_errors,
            max_unsynced=concurrency,
            seal=seal,
            counts_tokens=counts_tokens,
        )
    except BaseException:
        source.close()
        raise
    return _Opened(source, survey, journal)


async def _finish(source: Source, seal: Seal | None) -> Any:
    """Have the source make what the caller wants. If this is cancelled, it is waited for, since it uses the journal."""
    cancelled = threading.Event()
    finishing = _in_thread(source.finish, seal, cancelled.is_set)
    try:
        return await asyncio.shield(finishing)
    except asyncio.CancelledError:
        cancelled.set()
        await asyncio.wait([finishing])
        raise


async def _governor(
    client: SecureCompletionClient, rate: float | None, limits: Limits | None, token_rate: int | None
) -> Governor:
    settings = client.settings
    rules = limits_at(settings.base_url, limits, rate, token_rate)
    with no_caller_fault():
        return await _in_thread(Governor.shared, rules, settings.base_url, settings.api_key)


class _Batch:
    """One run."""

    def __init__(self, opened: _Opened, sender: Sender, progress: Progress, metrics: MetricsFile | None) -> None:
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
        async with kept_current(self._metrics, self._figures, self._progress.tell):
            return await self._run(concurrency, ordered)

    async def _run(self, concurrency: int, ordered: bool) -> Summary:
        self._progress.begin(self._survey.rows, self._figures.done_before, self._journal.done.failed)
        try:
            if self._journal.dropped:
                self._progress.tell(f"dropped {counted(self._journal.dropped, 'damaged line')} of the output")
            results = run_many_async(self._sender.send, self._source(), concurrency, ordered)
            async with aclosing(results):  # type: ignore[type-var]
                async for result in results:
                    await self._hold_back_or_write(result)
            refusals = [each.error for each in self._held_back if self._sender.may_be_account_fault(each.error)]
            earlier = self._journal.done.rows - self._journal.done.failed
            self._sender.stop_if_account_at_fault(refusals, earlier_answers=earlier > 0)
            if not self._sender.stopping:  # else these rows are to be done yet
                await self._write_refusals(self._taken)
            await self._journal.finish()
        finally:
            self._progress.end()
        await _in_thread(self._input.verify)
        if self._sender.failure is not None:
            raise self._sender.failure
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
