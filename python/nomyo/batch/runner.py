"""A batch from its first row to its last, in bounded memory: what is under way, and one bit a row."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import wraps
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, ParamSpec

from nomyo.batch.admission import Admission
from nomyo.batch.client_options import as_of_client, check_names
from nomyo.batch.governor import Governor, Limits
from nomyo.batch.governor.limits import limits_at
from nomyo.batch.header import header_of
from nomyo.batch.journal import Journal
from nomyo.batch.lines import Lines, Survey, open_input, survey
from nomyo.batch.progress import Progress, checked
from nomyo.batch.records import BadRow, Row, answered, failed, read_row, tokens_of
from nomyo.batch.rewrite import staged
from nomyo.batch.seal_key import seal_to
from nomyo.batch.sealed import Seal
from nomyo.batch.sender import NotSent, Sender
from nomyo.chat import prepare
from nomyo.client import SecureCompletionClient
from nomyo.errors import APIConnectionError, APIError, BatchError, DisposedError, NomyoError
from nomyo.exchange.discreet import discreet
from nomyo.in_range import check_int, check_number
from nomyo.many import Result, run_many_async

_P = ParamSpec("_P")
PATIENCE_S = 7200.0
"""Four times the cool-down of a key at the public service: one that begins in the middle of another is waited for."""
_CHECK_S = 10.0


@dataclass(frozen=True, slots=True)
class Summary:
    """How a batch stands after a run."""

    rows: int
    """Of the input."""
    succeeded: int
    """Rows of the output that hold an answer."""
    failed: int
    """Rows of the output that hold an error."""
    done_before: int
    """Rows that this run found done."""
    prompt_tokens: int
    """Of the answers of this run, as the router counts them; and so are the next."""
    completion_tokens: int

    @property
    def left(self) -> int:
        """Rows that are not done, because the run was told to stop."""
        return self.rows - self.succeeded - self.failed


class Stop:
    """Tells a run to send no more rows, and to end when those that were sent are done."""

    def __init__(self) -> None:
        self._heard_by: tuple[asyncio.AbstractEventLoop, Sender] | None = None
        self.asked = False

    def __call__(self) -> None:
        """Stop; from any thread, and from a signal's handler."""
        self.asked = True
        if self._heard_by is not None:
            loop, sender = self._heard_by
            with suppress(RuntimeError):  # the loop is closed, and so is the batch
                loop.call_soon_threadsafe(sender.stop)

    def attach(self, sender: Sender) -> None:
        """Be heard by a sender from now on; in its event loop."""
        self._heard_by = asyncio.get_running_loop(), sender
        if self.asked:
            sender.stop()


@discreet
async def run_async(
    input: str | os.PathLike[str],  # noqa: A002 - as `nomyo batch` and subprocess.run have it
    output: str | os.PathLike[str],
    *,
    concurrency: int = 32,
    rate: float | None = None,
    limits: Limits | None = None,
    ordered: bool = False,
    retry_errors: bool = False,
    max_retries: int = 2,
    patience: float = PATIENCE_S,
    encrypt_to: str | os.PathLike[str] | None = None,
    governor: Admission | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
    **client_options: Any,
) -> Summary:
    """Send every row of a file in OpenAI's batch format, and write a row for each to another.

    Called once more with the same files, it goes on where it was interrupted. `output.batch`, beside the output, says
    of which input that is.

    Args:
        input: A file of rows; must not change until the batch is done.
        output: Gets the answers, and is readable by its owner alone where it is new.
        concurrency: Requests under way at once.
        rate: Requests a second, from 0.0001 to 1,000; 0 for no limit. None takes that of `limits`.
        limits: The service's rules, which all processes of this user keep together that use the same API key at the
            same URL. By default those of the public service at its address; elsewhere no rate, and a minute's pause
            for a 503.
        ordered: Write rows in the order of the input, instead of as they complete.
        retry_errors: Do rows once more whose outcome was an error in an earlier run.
        max_retries: Extra attempts after 500, 502, 504 and timeouts.
        patience: Seconds for which the router may be away, or refuse with 429 or 503, before the batch stops. It pauses
            meanwhile, and no row fails, but for one of the last that gets 503, or is lost, each time until then.
        encrypt_to: The PEM of an RSA public key (2048 to 8192 bits): rows are sealed for the holder of its private half
            before they are written, and `read` opens them. An output is sealed for one key from its first row on.
        governor: Says when a request may leave, in place of `rate` and `limits`.
        progress: Is told how far it is: an object with the methods of `Progress`. By default, the log `nomyo.batch`
            tells why it pauses.
        stop: Call it, and no more rows are sent.
        client_options: As `SecureCompletionClient` takes them, with `base_url` for its `router_url`.

    Returns:
        How the batch stands. Rows that failed are in the output, and raise nothing.

    Raises:
        BatchError: It cannot begin (another input, a foreign output, another process), or had to stop.
        OSError: A file cannot be read or written; what is in the output counts, and the same call goes on.
        ValueError, TypeError: An option is out of range or of the wrong type, or `encrypt_to` holds no public key.
        SecurityError: Plain HTTP, pins, key files.
    """
    check_int("concurrency", concurrency, 1)
    check_int("max_retries", max_retries, 0)
    check_number("patience", patience, 0)
    check_names(client_options)
    told = checked(progress)
    if not isinstance(stop, Stop | None):
        raise TypeError("stop must be a nomyo.batch.Stop")
    seal = await asyncio.to_thread(seal_to, encrypt_to, client_options)
    async with SecureCompletionClient(**as_of_client({"max_connections": concurrency, **client_options})) as client:
        admission = await asyncio.to_thread(_governor, client, rate, limits) if governor is None else governor
        await check_router(client)
        opened = await _open(Path(input), Path(output), ordered, retry_errors, concurrency, seal)
        sender = Sender(
            lambda body: client.send(prepare(body, None, None, {})[0]),
            admission,
            lambda: router_lives(client),
            max_retries=max_retries,
            patience_s=patience,
            tell=told.tell,
        )
        with opened.file:
            async with opened.journal:
                (stop or Stop()).attach(sender)
                try:
                    return await _Batch(opened, sender, told).run(concurrency, ordered)
                except OSError as error:
                    error.add_note("what is in the output counts: the same command goes on")
                    raise


def _blocking(function: Callable[_P, Coroutine[Any, Any, Summary]]) -> Callable[_P, Summary]:
    """Return a function that does the same where no event loop runs; it has its parameters and its docstring."""

    @wraps(function)
    def blocking(*args: _P.args, **kwargs: _P.kwargs) -> Summary:
        with suppress(RuntimeError):
            asyncio.get_running_loop()
            raise TypeError("an event loop runs here: await nomyo.batch.run_async(...)")
        return asyncio.run(function(*args, **kwargs))

    blocking.__name__ = blocking.__qualname__ = "run"
    return blocking


run = _blocking(run_async)


@dataclass(frozen=True, slots=True)
class _Opened:
    """The files of a batch."""

    file: BinaryIO
    survey: Survey
    journal: Journal
    stamp: tuple[int, int]
    """Of the input before it was surveyed."""


async def _open(*wanted: Any) -> _Opened:
    """Open the files of a batch in a thread; whoever cancels this leaves none of them open."""
    given_up = threading.Event()
    opening = asyncio.ensure_future(asyncio.to_thread(_open_now, given_up.is_set, *wanted))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        given_up.set()
        with suppress(Exception):
            opened = await opening
            opened.file.close()
            await opened.journal.aclose()
        raise


def _open_now(
    given_up: Callable[[], bool],
    source: Path,
    output: Path,
    ordered: bool,
    retry_errors: bool,
    concurrency: int,
    seal: Seal | None,
) -> _Opened:
    real = Path(os.path.realpath(output))
    for ours in (real, header_of(real), staged(real)):
        if ours.exists() and source.samefile(ours):
            raise ValueError("the output must not be the input, nor have it beside it under a name of its own")
    file = open_input(source)
    try:
        stamp = _stamp(file)
        counted = survey(file, given_up)
        journal = Journal(
            output, counted, ordered=ordered, retry_errors=retry_errors, most_unsynced=concurrency, seal=seal
        )
    except BaseException:
        file.close()
        raise
    return _Opened(file, counted, journal, stamp)


def _stamp(file: BinaryIO) -> tuple[int, int]:
    """Return what changes with the content of a file, mostly."""
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns


def _governor(client: SecureCompletionClient, rate: float | None, limits: Limits | None) -> Governor:
    settings = client.settings
    return Governor.shared(limits_at(settings.base_url, limits, rate), settings.base_url, settings.api_key)


async def check_router(client: SecureCompletionClient) -> None:
    """Refuse before the first row what would be refused for each: key files, plain HTTP, a key that matches no pin.

    A router that is away at the beginning is waited for like one that goes away later.

    Raises:
        SecurityError, OSError: It is refused.
        BatchError: There is no router at this address.
    """
    await client.wait_for_keys()
    status = None
    with suppress(APIConnectionError, TimeoutError):
        try:
            async with asyncio.timeout(_CHECK_S):
                await client.fetch_server_public_key()
        except APIError as error:
            status = error.status_code
    if status == HTTPStatus.NOT_FOUND:
        words = f"there is no router at {client.settings.base_url}: it has no public key to give (HTTP {status})"
        raise BatchError(words, status_code=status)


async def router_lives(client: SecureCompletionClient) -> bool:
    """Return whether a router gives its key, for which it needs no more than to be there."""
    try:
        async with asyncio.timeout(_CHECK_S):
            await client.fetch_server_public_key()
    except (NomyoError, OSError):  # TimeoutError is one
        return False
    return True


class _Batch:
    """One run."""

    def __init__(self, opened: _Opened, sender: Sender, progress: Progress) -> None:
        self._file = opened.file
        self._survey = opened.survey
        self._stamp = opened.stamp
        self._journal = opened.journal
        self._sender = sender
        self._sender.nothing_left = lambda: self._taken == self._survey.rows - self._done_before
        self._progress = progress
        self._done_before = opened.journal.done.rows
        self._under_way: dict[int, Row | BadRow] = {}
        self._taken = 0
        self._tokens = [0, 0]
        self._changed = False

    async def run(self, concurrency: int, ordered: bool) -> Summary:
        self._progress.begin(self._survey.rows, self._done_before, self._journal.done.failed)
        try:
            if self._journal.dropped:
                self._progress.tell(f"{self._journal.dropped:,} damaged lines of the output were dropped")
            results = run_many_async(self._sender.send, self._source(), concurrency, ordered)
            async with aclosing(results):  # type: ignore[type-var]
                async for result in results:
                    await self._keep(result)
            await self._journal.finish()
        finally:
            self._progress.end()
        if self._changed:
            raise BatchError("the input changed while it was read: its rows and the output's may not belong together")
        if self._sender.failure is not None:
            raise self._sender.failure
        done = self._journal.done
        return Summary(self._survey.rows, done.rows - done.failed, done.failed, self._done_before, *self._tokens)

    def _source(self) -> Iterator[Row | BadRow]:
        """Yield the rows that are to be done, as long as there is somebody to send them."""
        lines = Lines(self._file)
        for number, content in lines:
            if self._sender.stopping:
                self._changed = _stamp(self._file) != self._stamp
                return
            if number > self._journal.done.lines:
                break
            if number in self._journal.done:
                continue
            row = read_row(number, content)
            self._under_way[self._taken] = row
            self._taken += 1
            yield row
        self._changed = lines.sha256 != self._survey.sha256

    async def _keep(self, result: Result) -> None:
        """Write what came of a row."""
        row = self._under_way.pop(result.index)
        if isinstance(result.error, NotSent | DisposedError):
            return
        if isinstance(row, Row) and result.response is not None:
            await self._journal.append(answered(row, result.response))
        else:
            assert result.error is not None
            await self._journal.append(failed(row.line, row.custom_id, result.error))
        self._progress.row(failed=result.error is not None, tokens=self._count_tokens(result))

    def _count_tokens(self, result: Result) -> int:
        numbers = (0, 0) if result.response is None else tokens_of(result.response)
        self._tokens = [total + number for total, number in zip(self._tokens, numbers, strict=True)]
        return sum(numbers)
