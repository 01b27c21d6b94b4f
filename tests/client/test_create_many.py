"""`create_many`: as many at once as asked for, one result for every request, in both twins."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo import Result
from nomyo.serve.router.running import RunningRouter
from support.faults import Answer, FaultyRouter
from support.twins import AsyncTwin, Twin

Collect = Callable[..., list[Result]]


def request(text: object) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": str(text)}]}


def collect(
    twin: Twin, chat: Any, requests: Any, *, most: int | None = None, into: list[Result] | None = None, **options: Any
) -> list[Result]:
    """The results, or the first of them, as a list: `into`, for who wants them when the iterator raises."""
    taken: list[Result] = [] if into is None else into
    results = chat.create_many(requests, **options)

    async def run() -> None:
        async for result in results:
            taken.append(result)
            if len(taken) == most:
                break
        await results.aclose()

    if isinstance(twin, AsyncTwin):
        twin.call(run)
    else:
        taken.extend(itertools.islice(results, most))
        results.close()
    return taken


@pytest.fixture
def chat(twin: Twin, router: RunningRouter, key_directory: Path) -> Any:
    return twin.chat(router.url, key_dir=key_directory)


def contents(results: list[Result]) -> list[tuple[int, str | None]]:
    return [(result.index, result.response.choices[0].message.content) for result in results if result.response]


@pytest.mark.parametrize("concurrency", [1, 3, 64])
@pytest.mark.parametrize("ordered", [False, True])
def test_every_request_has_its_result(twin: Twin, chat: Any, ordered: bool, concurrency: int) -> None:
    results = collect(twin, chat, map(request, range(40)), ordered=ordered, concurrency=concurrency)
    expected = [(number, str(number)) for number in range(40)]
    assert contents(results if ordered else sorted(results, key=lambda result: result.index)) == expected
    assert all(result.error is None for result in results)


def test_nothing_comes_of_nothing(twin: Twin, chat: Any) -> None:
    assert collect(twin, chat, []) == []


def test_error_is_the_result_of_its_request_alone(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory)
    faulty_router.answers.append(Answer(401))
    asked: list[Any] = [
        request("refused"),
        request("a"),
        {"model": "m"},
        request({1}),
        [],
        None,
        {**request(1), "x": {1}},
    ]
    results = collect(twin, chat, asked, concurrency=1, ordered=True)
    assert [type(result.error) for result in results] == [
        nomyo.AuthenticationError, type(None), TypeError, type(None), TypeError, TypeError, TypeError,
    ]  # fmt: skip
    assert [result.index for result in results] == list(range(7))
    assert all((result.error is None) != (result.response is None) for result in results)


def test_result_shows_no_content(twin: Twin, chat: Any) -> None:
    [good, bad] = collect(twin, chat, [request("classified"), {"model": "classified"}], ordered=True)
    assert repr(good) == "<Result 0: response>"
    assert repr(bad) == "<Result 1: error=TypeError>"


@pytest.mark.parametrize("ordered", [False, True])
def test_endless_input_is_read_no_further_than_there_is_room(twin: Twin, chat: Any, ordered: bool) -> None:
    taken: list[int] = []

    def endless() -> Iterator[dict[str, Any]]:
        for number in itertools.count():
            taken.append(number)
            yield request(number)

    results = collect(twin, chat, endless(), concurrency=4, ordered=ordered, most=10)
    assert len(results) == 10
    assert len(taken) <= 10 + 2 * 4


def test_slow_consumer_slows_the_sending_down(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory)

    async def slow() -> None:
        async for _ in chat.create_many(map(request, itertools.count()), concurrency=2):
            await asyncio.sleep(0.3)
            break

    if isinstance(twin, AsyncTwin):
        twin.call(slow)
    else:
        for _ in chat.create_many(map(request, itertools.count()), concurrency=2):
            time.sleep(0.3)
            break
    assert len(faulty_router.posts) <= 1 + 2 * 2


def test_no_more_than_asked_for_are_under_way(twin: Twin, chat: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def enter(step: int) -> None:
        nonlocal now, most
        with lock:
            now += step
            most = max(most, now)

    async def create(_: Any) -> str:
        enter(1)
        await asyncio.sleep(0.01)
        enter(-1)
        return "answer"

    def create_here(_: Any) -> str:
        enter(1)
        time.sleep(0.01)
        enter(-1)
        return "answer"

    monkeypatch.setattr(chat, "create", create if isinstance(twin, AsyncTwin) else create_here)
    results = collect(twin, chat, range(100), concurrency=7)
    answers: list[object] = [result.response for result in results]
    assert answers == ["answer"] * 100
    assert most == 7


def test_failure_of_the_input_comes_after_the_results(twin: Twin, chat: Any) -> None:
    def broken() -> Iterator[dict[str, Any]]:
        yield from map(request, range(5))
        raise ZeroDivisionError

    seen: list[Result] = []
    with pytest.raises(ZeroDivisionError):
        collect(twin, chat, broken(), into=seen)
    assert sorted(result.index for result in seen) == list(range(5))


def test_disposed_client_ends_an_endless_run(twin: Twin, chat: Any) -> None:
    results: list[Result] = []

    def endless() -> Iterator[dict[str, Any]]:
        for number in itertools.count():
            if number == 20:
                chat.dispose()
            yield request(number)

    with pytest.raises(nomyo.DisposedError):
        collect(twin, chat, endless(), concurrency=4, into=results)
    assert sorted(result.index for result in results) == list(range(len(results)))
    assert {type(result.error) for result in results} <= {type(None), nomyo.DisposedError}


@pytest.mark.parametrize("concurrency", [0, -1, True, 1.5, "2", None])
def test_concurrency_is_a_number_of_one_or_more(twin: Twin, chat: Any, concurrency: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="concurrency must be"):
        chat.create_many([], concurrency=concurrency)


def test_input_must_be_iterable(twin: Twin, chat: Any) -> None:
    with pytest.raises(TypeError):
        chat.create_many(1)


def test_asynchronous_input_is_read_while_answers_come(router: RunningRouter, key_directory: Path) -> None:
    async def source() -> AsyncIterator[dict[str, Any]]:
        yield request("first")
        await answered.wait()  # a reader that waited for the input here would wait for ever
        yield request("second")

    async def run() -> list[str | None]:
        texts = []
        async with nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory) as chat:
            async for result in chat.create_many(source()):
                assert result.response is not None
                texts.append(result.response.choices[0].message.content)
                answered.set()
        return texts

    answered = asyncio.Event()
    assert asyncio.run(run()) == ["first", "second"]


@pytest.mark.parametrize("end", ["break", "cancel"])
def test_run_that_is_left_leaves_no_task_behind(router: RunningRouter, key_directory: Path, end: str) -> None:
    closed = []

    async def source() -> AsyncIterator[dict[str, Any]]:
        try:
            for number in itertools.count():
                yield request(number)
        finally:
            closed.append(True)

    async def consume(chat: nomyo.SecureChatCompletion) -> None:
        async for _ in chat.create_many(source(), concurrency=8):
            if end == "break":
                return
            await asyncio.sleep(3600)

    async def run() -> None:
        async with nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory) as chat:
            before = asyncio.all_tasks()
            consumer = asyncio.create_task(consume(chat))
            await asyncio.wait([consumer], timeout=1)
            consumer.cancel()
            await asyncio.wait([consumer])
            gc.collect()
            await asyncio.sleep(0.05)
            assert asyncio.all_tasks() == before
            assert closed == [True]

    asyncio.run(run())


def test_threads_of_a_run_end_with_it(router: RunningRouter, key_directory: Path) -> None:
    with nomyo.SyncSecureChatCompletion(router.url, True, key_dir=key_directory) as chat:
        next(iter(chat.create_many(map(request, itertools.count()), concurrency=5)))
        gc.collect()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("nomyo-many")]
