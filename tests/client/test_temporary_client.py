"""A request with a `base_url` of its own: its client uses the pair that is there, and ends with the call."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import nomyo
from nomyo import _core
from support.faults import FaultyRouter
from support.held_router import HeldRouter
from support.twins import Twin
from support.waiting import until

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
NOWHERE = "http://127.0.0.1:9"


def keys_used(router: FaultyRouter) -> list[str]:
    return [unquote(post.headers["x-public-key"]) for post in router.posts]


@pytest.fixture
def held() -> Iterator[HeldRouter]:
    with HeldRouter() as router:
        yield router


@pytest.fixture
def beside() -> Iterator[Callable[..., Future[Any]]]:
    """Runs a call in a thread of its own."""
    with ThreadPoolExecutor(1) as threads:
        yield threads.submit


@pytest.mark.parametrize("kind", ["directory", "loaded"])
def test_pair_that_is_there_is_used(
    twin: Twin,
    faulty_router: FaultyRouter,
    key_directory: Path,
    client_key: _core.PrivateKey,
    archive_key: _core.PrivateKey,
    kind: str,
) -> None:
    other = Path("other")
    _core.write_key_directory(other, archive_key)
    chat = twin.chat(faulty_router.url, key_dir=key_directory if kind == "directory" else other)
    if kind == "loaded":
        twin.call(chat._client.load_keys, key_directory / "private_key.pem")
    twin.call(chat.create, HELLO)

    for _ in range(2):
        response = twin.call(chat.create, HELLO, base_url=faulty_router.url)
        assert response.choices[0].message.content == "Hello"
    twin.call(chat.create, HELLO)

    assert keys_used(faulty_router) == [client_key.public_key.pem] * 4


def test_pair_in_memory_is_used_too_and_no_other_is_made(
    twin: Twin, faulty_router: FaultyRouter, caplog: pytest.LogCaptureFixture
) -> None:
    chat = twin.chat(NOWHERE)
    twin.call(chat._client.wait_for_keys)
    with caplog.at_level("DEBUG", "nomyo"):
        for _ in range(3):
            twin.call(chat.create, HELLO, base_url=faulty_router.url)

    assert "key pair generated" not in caplog.text
    assert len(set(keys_used(faulty_router))) == 1


def test_answer_in_locked_memory_comes_through_it_too(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path
) -> None:
    chat = twin.chat(NOWHERE, key_dir=key_directory)

    reply = twin.call(chat.create_secure, HELLO, base_url=faulty_router.url)

    with reply.content as content:
        assert bytes(content) == b"Hello"
    reply.close()


def test_pair_that_rotates_meanwhile_still_opens_the_answer(
    twin: Twin, held: HeldRouter, key_directory: Path, beside: Callable[..., Future[Any]]
) -> None:
    chat = twin.chat(NOWHERE, key_dir=key_directory, key_rotation_dir=None)
    asked = beside(twin.call, chat.create, HELLO, base_url=held.url)
    until(lambda: held.under_way)
    before = chat._client._exchange._keys._pair

    twin_key = chat._client._exchange._keys
    twin_key.rotate()
    held.let_go.set()

    assert asked.result(30).choices[0].message.content == "Hello"
    assert twin_key._pair is not before
    assert before.private_key.wiped


def test_disposing_of_the_client_ends_it(
    twin: Twin, held: HeldRouter, key_directory: Path, beside: Callable[..., Future[Any]]
) -> None:
    chat = twin.chat(NOWHERE, key_dir=key_directory)
    asked = beside(twin.call, chat.create, HELLO, base_url=held.url)
    until(lambda: held.under_way)

    chat.dispose()
    if twin.name == "sync":
        held.let_go.set()  # a thread that reads from a socket notices when something comes

    with pytest.raises(nomyo.DisposedError):
        asked.result(30)


@pytest.mark.parametrize("fails", [False, True])
def test_it_is_gone_after_the_call(twin: Twin, faulty_router: FaultyRouter, key_directory: Path, fails: bool) -> None:
    def clients() -> int:
        gc.collect()
        return sum(type(thing) is twin.client_class for thing in gc.get_objects())

    chat = twin.chat(NOWHERE, key_dir=key_directory)
    before = clients()
    faulty_router.change = (lambda body: b"{}") if fails else None

    for _ in range(3):
        if fails:
            with pytest.raises(nomyo.SecurityError):
                twin.call(chat.create, HELLO, base_url=faulty_router.url)
        else:
            twin.call(chat.create, HELLO, base_url=faulty_router.url)

    assert clients() == before
    assert chat._temporary == set()
    assert not chat._client._exchange._keys._pair.private_key.wiped
