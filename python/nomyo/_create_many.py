"""`create_many`: sends any number of requests, at most `concurrency` at once, and yields one result for each.

Both forms take a request from the input only when there is room for its outcome. So the input may be endless, and a
slow consumer slows the sending down: at most `concurrency` requests are under way, and at most as many outcomes wait
for the consumer.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeAlias

from ._checks import check_int
from ._threads import submit_or_run
from .errors import DisposedError
from .responses import ChatCompletionResponse

Requests: TypeAlias = Iterable[Any] | AsyncIterable[Any]


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """The outcome of one request: its response, or the error that `create` would have raised."""

    index: int
    """The request's number in the input, from 0."""
    response: ChatCompletionResponse | None = None
    error: Exception | None = None

    def __repr__(self) -> str:
        """Show the number and the kind of outcome; no content."""
        outcome = "response" if self.error is None else f"error={type(self.error).__name__}"
        return f"<Result {self.index}: {outcome}>"


class _Outcomes:
    """Puts results into the order in which they are yielded, and knows when to stop reading the input."""

    def __init__(self, ordered: bool) -> None:
        self._ordered = ordered
        self._waiting: dict[int, Result] = {}
        self._next = 0
        self.taken = 0
        self.ended = False
        self.failure: Exception | None = None

    def number(self) -> int:
        """Return the number of the request that was taken from the input just now."""
        self.taken += 1
        return self.taken - 1

    def end(self, failure: Exception | None = None) -> None:
        """Stop reading the input. A failure is raised after all results have been yielded."""
        self.ended = True
        self.failure = self.failure or failure

    def sort(self, result: Result) -> Iterator[Result]:
        """Yield the results that can be yielded now that this one is there."""
        if isinstance(result.error, DisposedError):
            self.end(result.error)  # all later requests would fail in the same way
        if not self._ordered:
            yield result
            return
        self._waiting[result.index] = result
        while (due := self._waiting.pop(self._next, None)) is not None:
            self._next += 1
            yield due

    def raise_failure(self) -> None:
        """Raise the error that ended the input early."""
        if self.failure is not None:
            raise self.failure


def run_many(
    create: Callable[[Any], ChatCompletionResponse], requests: Iterable[Any], concurrency: int, ordered: bool
) -> Iterator[Result]:
    """Run `create` on every request, in threads; see `SyncSecureChatCompletion.create_many`."""
    check_int("concurrency", concurrency, 1)
    return _in_threads(create, iter(requests), concurrency, _Outcomes(ordered))


def _in_threads(
    create: Callable[[Any], ChatCompletionResponse], source: Iterator[Any], concurrency: int, outcomes: _Outcomes
) -> Generator[Result, None, None]:
    done: SimpleQueue[Result] = SimpleQueue()
    handed_out = 0

    def run(index: int, request: Any) -> None:
        try:
            done.put(Result(index, create(request)))
        except Exception as error:  # noqa: BLE001 - it is the request's outcome
            done.put(Result(index, error=error))

    threads = ThreadPoolExecutor(concurrency, "nomyo-many")
    try:
        while True:
            while not outcomes.ended and outcomes.taken - handed_out < 2 * concurrency and done.empty():
                try:
                    request = next(source)
                except StopIteration:
                    outcomes.end()
                except Exception as error:  # noqa: BLE001 - raised when all results are out
                    outcomes.end(error)
                else:
                    submit_or_run(lambda: threads, partial(run, outcomes.number(), request))
            if handed_out == outcomes.taken:
                break
            for result in outcomes.sort(done.get()):
                handed_out += 1
                yield result
    finally:
        threads.shutdown(wait=True, cancel_futures=True)
    outcomes.raise_failure()


def run_many_async(
    create: Callable[[Any], Awaitable[ChatCompletionResponse]], requests: Requests, concurrency: int, ordered: bool
) -> AsyncIterator[Result]:
    """Run `create` on every request, in tasks; see `SecureChatCompletion.create_many`."""
    check_int("concurrency", concurrency, 1)
    source = aiter(requests) if isinstance(requests, AsyncIterable) else _as_async(iter(requests))
    return _in_tasks(_Tasks(create, source, concurrency, _Outcomes(ordered)))


async def _in_tasks(tasks: _Tasks) -> AsyncGenerator[Result, None]:
    tasks.start()
    try:
        while (result := await tasks.done.get()) is not None:
            for due in tasks.outcomes.sort(result):
                tasks.room.release()
                yield due
    finally:
        await tasks.stop()
    tasks.outcomes.raise_failure()


class _Tasks:
    """Workers that take requests from the input one after the other, and put results into `done`."""

    def __init__(
        self,
        create: Callable[[Any], Awaitable[ChatCompletionResponse]],
        source: AsyncIterator[Any],
        concurrency: int,
        outcomes: _Outcomes,
    ) -> None:
        self.outcomes = outcomes
        self.done: asyncio.Queue[Result | None] = asyncio.Queue()
        """None follows the last result."""
        self.room = asyncio.Semaphore(2 * concurrency)
        self._create = create
        self._source = source
        self._reading = asyncio.Lock()
        self._concurrency = concurrency
        self._workers: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the workers."""
        self._working = self._concurrency
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]

    async def stop(self) -> None:
        """Cancel the requests under way, and wait until they have ended."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        close = getattr(self._source, "aclose", None)
        if close is not None:
            await close()

    async def _work(self) -> None:
        try:
            while (taken := await self._take()) is not None:
                index, request = taken
                self.done.put_nowait(await self._outcome(index, request))
        finally:
            self._working -= 1
            if self._working == 0:
                self.done.put_nowait(None)

    async def _take(self) -> tuple[int, Any] | None:
        """Take the next request from the input as soon as there is room for its outcome; None at the end."""
        await self.room.acquire()
        async with self._reading:
            if not self.outcomes.ended:
                try:
                    request = await anext(self._source)
                except StopAsyncIteration:
                    self.outcomes.end()
                except Exception as error:  # noqa: BLE001 - raised when all results are out
                    self.outcomes.end(error)
                else:
                    return self.outcomes.number(), request
        self.room.release()  # for the next worker, which ends as well
        return None

    async def _outcome(self, index: int, request: Any) -> Result:
        try:
            return Result(index, await self._create(request))
        except Exception as error:  # noqa: BLE001 - it is the request's outcome
            return Result(index, error=error)


async def _as_async(source: Iterator[Any]) -> AsyncGenerator[Any, None]:
    for item in source:
        yield item
