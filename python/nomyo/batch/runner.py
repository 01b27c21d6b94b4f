"""Runs a batch from its first row to its last. Memory holds the rows under way, and one bit for each row."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from functools import partial, wraps
from typing import Any, ParamSpec, Unpack

from nomyo._checks import check_int, check_number
from nomyo._create_request import prepare
from nomyo.batch.admission import Admission
from nomyo.batch.budget import Budget, checked_budget
from nomyo.batch.client_options import BatchOptions, as_of_client, check_names
from nomyo.batch.data.files import DeadlineError, StoppedError
from nomyo.batch.data.options import DataOptions
from nomyo.batch.data.source import source_of
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.governor.limits import limits_at
from nomyo.batch.internal_errors import no_caller_fault
from nomyo.batch.metrics_file import metrics_at
from nomyo.batch.one_run import Run
from nomyo.batch.opened import finish, in_thread, open_files
from nomyo.batch.progress import Progress, guarded
from nomyo.batch.router_check import check_router, router_is_alive, server_key_known
from nomyo.batch.seal_key import seal_to
from nomyo.batch.sender import NotSent, Sender
from nomyo.batch.stop import Stop
from nomyo.batch.summary import Summary
from nomyo.client import SecureCompletionClient
from nomyo.exchange.own_names import named
from nomyo.exchange.settings import PATIENT_TIMEOUT_S
from nomyo.exchange.signatures import shows_options
from nomyo.exchange.tracebacks import clears_traceback
from nomyo.responses import ChatCompletionResponse

_P = ParamSpec("_P")
PATIENCE_S = 7200.0
"""Four times the cool-down of a key at the public service, so that a second one during the first is waited for."""


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
    source = await in_thread(source_of, input, output, data)
    metrics = metrics_at(metrics_file, (input, output), source.journal)
    # A mistyped name is told at once: a client makes a key pair, and a router that is away is waited for.
    await in_thread(partial(source.check_output, sealed=encrypt_to is not None))
    await in_thread(source.check_input)
    seal = await in_thread(seal_to, encrypt_to, client_options)
    async with SecureCompletionClient(**as_of_client({"max_connections": concurrency, **client_options})) as client:
        admission = await _governor(client, rate, limits, token_rate) if governor is None else governor
        sender = _sender(
            client, admission, max_retries=max_retries, patience_s=patience, report=progress.tell, budget=budget
        )
        stopping = stop or Stop()
        stopping.attach(sender)
        with suppress(NotSent), sender.spending.until_deadline(sender.stop_at_limit):
            sender.reached = await sender.unless_stopped(lambda: check_router(client))
        with _deadline_told(stopping):
            opened = await open_files(
                source,
                lambda: stopping.requested or sender.spending.is_late(),
                ordered,
                retry_errors,
                concurrency,
                seal,
                budget.counts,
            )
        with closing(source), _told_to_go_on():
            async with opened.journal:
                with no_caller_fault(), sender.spending.until_deadline(sender.stop_at_limit):
                    summary = await Run(opened, sender, progress, metrics).run(concurrency, ordered)
                    return summary if summary.left else replace(summary, table=await finish(source, seal))


def _sender(client: SecureCompletionClient, admission: Admission, **options: Any) -> Sender:
    """Return the sender of rows to the router of a client."""

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
        server_key=lambda: server_key_known(client),
        address=client.settings.base_url,
        **options,
    )
    return sender


@contextmanager
def _deadline_told(stop: Stop) -> Iterator[None]:
    """Tell the deadline, which ends the wait for stdin, too, from a stop by the user."""
    try:
        yield
        return
    except StoppedError:
        if stop.requested:
            raise
    raise DeadlineError("the deadline came while stdin was read: nothing was sent, because not all rows are known")


@contextmanager
def _told_to_go_on() -> Iterator[None]:
    """Add to an error of the system that no row is lost."""
    try:
        yield
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


async def _governor(
    client: SecureCompletionClient, rate: float | None, limits: Limits | None, token_rate: int | None
) -> Governor:
    settings = client.settings
    rules = limits_at(settings.base_url, limits, rate, token_rate)
    with no_caller_fault():
        return await in_thread(Governor.shared, rules, settings.base_url, settings.api_key)
