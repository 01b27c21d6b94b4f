"""Back-pressure: no more requests are sealed than can be sent, and cancelling leaves every turn to others."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import nomyo
from nomyo import _core
from nomyo.exchange.crypto_threads import crypto_threads
from nomyo.serve.router.running import RunningRouter
from support.connections import connections_to

HELLO = [{"role": "user", "content": "Hello"}]
LARGE = [{"role": "user", "content": "Hello " * 10_000}]  # sealed and opened in threads


class Counting:
    """A transport's count of the requests that were sealed and have no answer yet."""

    def __init__(self) -> None:
        self.now = self.most = self.sent = 0
        self.lock = threading.Lock()

    def begin(self) -> None:
        with self.lock:
            self.now += 1
            self.sent += 1
            self.most = max(self.most, self.now)

    def end(self) -> None:
        with self.lock:
            self.now -= 1


class AsyncCounting(httpx.AsyncHTTPTransport):
    """Has room for all connections, so that nothing but turns holds requests back."""

    def __init__(self, counting: Counting) -> None:
        super().__init__(limits=httpx.Limits(max_connections=None))
        self.counting = counting

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.counting.begin()
        try:
            await asyncio.sleep(0.02)
            return await super().handle_async_request(request)
        finally:
            self.counting.end()


class SyncCounting(httpx.HTTPTransport):
    def __init__(self, counting: Counting) -> None:
        super().__init__(limits=httpx.Limits(max_connections=None))
        self.counting = counting

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.counting.begin()
        try:
            time.sleep(0.02)
            return super().handle_request(request)
        finally:
            self.counting.end()


@pytest.fixture
def counting() -> Iterator[Counting]:
    counting = Counting()
    yield counting
    assert counting.now == 0


def test_no_more_tasks_than_connections_hold_a_sealed_request(
    router: RunningRouter, key_directory: Path, counting: Counting
) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(transport=AsyncCounting(counting)) as http_client:
            chat = nomyo.SecureChatCompletion(
                router.url, True, key_dir=key_directory, max_connections=3, http_client=http_client
            )
            await asyncio.gather(*(chat.create(model="m", messages=HELLO) for _ in range(20)))
            chat.dispose()

    asyncio.run(main())
    assert counting.most == 3
    assert counting.sent == 20 + 1  # and the router's key


def test_no_more_threads_than_connections_hold_a_sealed_request(
    router: RunningRouter, key_directory: Path, counting: Counting
) -> None:
    with (
        httpx.Client(transport=SyncCounting(counting)) as http_client,
        nomyo.SyncSecureChatCompletion(
            router.url, True, key_dir=key_directory, max_connections=3, http_client=http_client
        ) as chat,
        ThreadPoolExecutor(12) as threads,
    ):
        list(threads.map(lambda _: chat.create(model="m", messages=HELLO), range(20)))
    assert counting.most == 3


def test_failed_request_passes_its_turn_on(router: RunningRouter, key_directory: Path) -> None:
    async def main() -> None:
        async with nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory, max_connections=1) as chat:
            for _ in range(3):
                with pytest.raises(TypeError, match="content"):
                    await chat.create(model="m", messages=[{"role": "user", "content": object()}])
            await chat.create(model="m", messages=HELLO)

    asyncio.run(main())


def test_requests_that_wait_for_a_turn_end_when_the_client_is_disposed_of(
    router: RunningRouter, key_directory: Path
) -> None:
    async def main() -> None:
        chat = nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory, max_connections=1)
        await chat.create(model="m", messages=HELLO)
        tasks = [asyncio.create_task(chat.create(model="m", messages=HELLO)) for _ in range(5)]
        await asyncio.sleep(0)
        chat.dispose()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            assert isinstance(outcome, nomyo.DisposedError)

    asyncio.run(main())


@pytest.mark.parametrize("messages", [HELLO, LARGE], ids=["small", "large"])
def test_requests_cancelled_at_any_moment_leave_nothing_behind(
    router: RunningRouter, key_directory: Path, messages: list[dict[str, str]]
) -> None:
    async def main() -> None:
        async with nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory, max_connections=4) as chat:
            await chat.create(model="m", messages=messages)
            before = _core.memory_status()
            for number in range(60):
                tasks = [asyncio.create_task(chat.create(model="m", messages=messages)) for _ in range(12)]
                await asyncio.sleep(number * 0.0004)
                for task in tasks:
                    task.cancel()
                outcomes = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(isinstance(outcome, dict | asyncio.CancelledError) for outcome in outcomes)
                del tasks, outcomes
            # All four turns are there still, and the threads are free.
            await asyncio.gather(*(chat.create(model="m", messages=messages) for _ in range(4)))
            exchange = chat._client._exchange
            assert exchange._keys._pair
            assert exchange._keys._pair.leases == 0
            assert crypto_threads().waiting == 0
            assert len(asyncio.all_tasks()) == 1
            # Each thread that joined meanwhile has a random generator of 608 bytes.
            assert _core.memory_status()["in_use_bytes"] < before["in_use_bytes"] + 4096

    asyncio.run(main())


def test_questions_for_the_key_keep_to_the_connections(router: RunningRouter, key_directory: Path) -> None:
    async def main() -> None:
        options: dict[str, Any] = {"key_dir": key_directory, "max_connections": 2}
        async with nomyo.SecureCompletionClient(router.url, True, **options) as client:
            await asyncio.gather(*(client.fetch_server_public_key() for _ in range(12)))
            assert connections_to(router.url) <= 2

    asyncio.run(main())
