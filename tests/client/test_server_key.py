"""The router's key: cached, fetched once for many, pinned, asked for again when it is stale."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

import nomyo
from nomyo.exchange import server_key
from nomyo.serve.router.config import RouterConfig
from support.faults import PUBLIC_KEY, Answer, FaultyRouter
from support.peer import open_with
from support.twins import Twin

HELLO = [{"role": "user", "content": "Hello"}]


def test_key_is_fetched_once_within_its_lifetime(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(server_key, "time", SimpleNamespace(monotonic=lambda: now))  # the loops' clocks go on
    chat = twin.chat(faulty_router.url, key_dir=key_directory, server_key_ttl=300.0)

    for moment, fetches in [(1000.0, 1), (1299.0, 1), (1300.0, 2), (1599.0, 2), (1601.0, 3)]:
        now = moment
        twin.call(chat.create, model="m", messages=HELLO)
        assert len(faulty_router.key_fetches) == fetches


def test_lifetime_of_zero_asks_on_every_encryption(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    client = twin.client(faulty_router.url, key_dir=key_directory, server_key_ttl=0)

    for _ in range(3):
        twin.call(client.encrypt_payload, {"model": "m"})

    assert len(faulty_router.key_fetches) == 3
    twin.call(client.send_secure_request, {"model": "m", "messages": HELLO}, str(uuid.uuid4()))
    assert len(faulty_router.key_fetches) == 4


def test_explicit_fetch_always_asks(twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
    client = twin.client(faulty_router.url, key_dir=key_directory)

    assert twin.call(client.fetch_server_public_key) == twin.call(client.fetch_server_public_key)
    twin.call(client.encrypt_payload, {"model": "m"})

    assert len(faulty_router.key_fetches) == 2


def test_many_tasks_share_one_fetch(faulty_router: FaultyRouter, key_directory: Path) -> None:
    async def main() -> None:
        async with nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory) as chat:
            await asyncio.gather(*(chat.create(model="m", messages=HELLO) for _ in range(20)))

    asyncio.run(main())
    assert len(faulty_router.key_fetches) == 1
    assert len(faulty_router.posts) == 20


def test_many_threads_share_one_fetch(faulty_router: FaultyRouter, key_directory: Path) -> None:
    with (
        nomyo.SyncSecureChatCompletion(faulty_router.url, True, key_dir=key_directory) as chat,
        ThreadPoolExecutor(8) as threads,
    ):
        list(threads.map(lambda _: chat.create(model="m", messages=HELLO), range(16)))

    assert len(faulty_router.key_fetches) == 1


def test_failed_fetch_fails_all_who_waited_for_it(
    faulty_router: FaultyRouter, key_directory: Path, sleeps: list[float]
) -> None:
    faulty_router.path = PUBLIC_KEY
    faulty_router.always(Answer(401))

    async def main() -> list[nomyo.ChatCompletionResponse | BaseException]:
        async with nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory) as chat:
            requests = [chat.create(model="m", messages=HELLO) for _ in range(10)]
            return await asyncio.gather(*requests, return_exceptions=True)

    outcomes = asyncio.run(main())
    assert {type(outcome) for outcome in outcomes} == {nomyo.AuthenticationError}
    assert len({id(outcome) for outcome in outcomes}) == 10
    assert len(faulty_router.key_fetches) < 10


def test_cancelled_fetch_is_taken_over_by_the_next(faulty_router: FaultyRouter, key_directory: Path) -> None:
    async def main() -> None:
        async with nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory) as chat:
            first = asyncio.create_task(chat.create(model="m", messages=HELLO))
            others = [asyncio.create_task(chat.create(model="m", messages=HELLO)) for _ in range(5)]
            while not first_is_fetching.is_set():
                await asyncio.sleep(0.001)
            first.cancel()
            released.set()
            with pytest.raises(asyncio.CancelledError):
                await first
            for response in await asyncio.gather(*others):
                assert response.choices[0].message.content == "Hello"

    first_is_fetching, released = threading.Event(), threading.Event()

    def hold_back(body: bytes) -> bytes:
        first_is_fetching.set()
        released.wait(10)
        return body

    faulty_router.path = PUBLIC_KEY
    faulty_router.change = hold_back
    asyncio.run(main())


def test_fetch_of_a_loop_that_stands_still_is_taken_over(faulty_router: FaultyRouter, key_directory: Path) -> None:
    chat = nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory, timeout=0.5)
    standing = asyncio.new_event_loop()
    fetching = threading.Event()

    def note(body: bytes) -> bytes:
        fetching.set()
        return body

    faulty_router.path = PUBLIC_KEY
    faulty_router.change = note
    first = standing.create_task(chat.create(model="m", messages=HELLO))
    while not fetching.is_set():
        standing.run_until_complete(asyncio.sleep(0))

    assert asyncio.run(chat.create(model="m", messages=HELLO)).choices

    assert standing.run_until_complete(first).choices
    chat.dispose()
    standing.close()


class TestPins:
    def test_pinned_key_is_used(self, twin: Twin, faulty_router: FaultyRouter, key_directory: Path) -> None:
        other = "SHA256:" + "A" * 43
        pins = [other, faulty_router.running.fingerprint]
        chat = twin.chat(faulty_router.url, key_dir=key_directory, server_key_fingerprint=pins)

        assert twin.call(chat.create, model="m", messages=HELLO).choices

    def test_another_key_is_refused_before_anything_is_sealed(
        self, twin: Twin, faulty_router: FaultyRouter, key_directory: Path
    ) -> None:
        chat = twin.chat(faulty_router.url, key_dir=key_directory, server_key_fingerprint="SHA256:" + "A" * 43)

        with pytest.raises(nomyo.SecurityError, match="pinned"):
            twin.call(chat.create, model="m", messages=HELLO)
        assert faulty_router.posts == []

    def test_new_key_of_a_router_is_held_to_the_pins_too(self, twin: Twin, key_directory: Path) -> None:
        with FaultyRouter(RouterConfig(key_bits=2048, key_rotation_grace_s=0)) as rotating:
            pin = rotating.running.fingerprint
            chat = twin.chat(rotating.url, key_dir=key_directory, server_key_fingerprint=pin)
            twin.call(chat.create, model="m", messages=HELLO)
            rotating.running.rotate()

            with pytest.raises(nomyo.SecurityError, match="pinned"):
                twin.call(chat.create, model="m", messages=HELLO)
            assert len(rotating.posts) == 2


class TestStaleKey:
    def test_request_is_sealed_again_once_for_the_new_key(self, twin: Twin, key_directory: Path) -> None:
        with FaultyRouter(RouterConfig(key_bits=2048, key_rotation_grace_s=0)) as rotating:
            chat = twin.chat(rotating.url, key_dir=key_directory)
            twin.call(chat.create, model="m", messages=HELLO)
            rotating.running.rotate()

            response = twin.call(chat.create, model="m", messages=HELLO)

            assert response.choices[0].message.content == "Hello"
            _, refused, accepted = rotating.posts
            assert refused.headers["x-payload-id"] == accepted.headers["x-payload-id"]
            assert refused.body != accepted.body
            assert open_with(rotating.private_key_pem, accepted.body)["messages"] == HELLO
            assert len(rotating.key_fetches) == 2

    def test_refusal_under_the_present_key_is_raised(
        self, twin: Twin, faulty_router: FaultyRouter, key_directory: Path
    ) -> None:
        faulty_router.answers.append(Answer(400))
        chat = twin.chat(faulty_router.url, key_dir=key_directory)

        with pytest.raises(nomyo.InvalidRequestError):
            twin.call(chat.create, model="m", messages=HELLO)

        assert len(faulty_router.posts) == 1
        assert len(faulty_router.key_fetches) == 2

    def test_second_refusal_is_raised(self, twin: Twin, key_directory: Path) -> None:
        with FaultyRouter(RouterConfig(key_bits=2048)) as rotating:
            chat = twin.chat(rotating.url, key_dir=key_directory)
            twin.call(chat.create, model="m", messages=HELLO)
            rotating.running.rotate()
            rotating.always(Answer(400))

            with pytest.raises(nomyo.InvalidRequestError):
                twin.call(chat.create, model="m", messages=HELLO)

            assert len(rotating.posts) == 3

    def test_refusal_stands_where_the_key_cannot_be_fetched_again(
        self, twin: Twin, key_directory: Path, sleeps: list[float]
    ) -> None:
        with FaultyRouter(RouterConfig(key_bits=2048)) as router:
            chat = twin.chat(router.url, key_dir=key_directory)
            twin.call(chat.create, model="m", messages=HELLO)
            router.answers.append(Answer(400, b'{"detail": "the refusal"}'))
            router.by_path[PUBLIC_KEY] = deque([Answer(500)] * 10)

            with pytest.raises(nomyo.InvalidRequestError, match="the refusal") as raised:
                twin.call(chat.create, model="m", messages=HELLO)
            assert raised.value.__context__ is None
