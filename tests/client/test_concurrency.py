"""Several event loops, many threads, cancelled tasks, disposal under way: nothing hangs, nothing leaks."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

import nomyo
from nomyo import _core
from nomyo.exchange.crypto_threads import CryptoThreads
from nomyo.exchange.effects import Compute
from nomyo.exchange.key_files import KeyFiles
from nomyo.serve.router.running import RunningRouter
from support.connections import connections_to
from support.faults import FaultyRouter
from support.process import output_of

HELLO = [{"role": "user", "content": "Hello"}]


def content(response: nomyo.ChatCompletionResponse) -> str:
    text = response.choices[0].message.content
    assert text is not None
    return text


def test_one_client_works_in_two_event_loops_one_after_the_other(router: RunningRouter, key_directory: Path) -> None:
    chat = nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory)
    for _ in range(2):
        assert content(asyncio.run(chat.create(model="m", messages=HELLO))) == "Hello"
    chat.dispose()


def test_one_client_works_in_event_loops_of_several_threads(router: RunningRouter, key_directory: Path) -> None:
    chat = nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory)

    async def several() -> list[nomyo.ChatCompletionResponse]:
        return await asyncio.gather(*(chat.create(model="m", messages=HELLO) for _ in range(5)))

    with ThreadPoolExecutor(4) as threads:
        for responses in threads.map(lambda _: asyncio.run(several()), range(8)):
            assert [content(response) for response in responses] == ["Hello"] * 5
    chat.dispose()


def test_eight_threads_share_one_sync_client(router: RunningRouter, key_directory: Path) -> None:
    with (
        nomyo.SyncSecureChatCompletion(router.url, True, key_dir=key_directory) as chat,
        ThreadPoolExecutor(8) as threads,
    ):
        texts = [f"message {n}" for n in range(100)]

        def ask(text: str) -> str:
            return content(chat.create(model="m", messages=[{"role": "user", "content": text}]))

        assert list(threads.map(ask, texts)) == texts


def test_first_request_waits_for_the_keys_and_nothing_else_does(
    router: RunningRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate, may_begin = KeyFiles._generated, threading.Event()

    def when_it_may(files: KeyFiles, bits: int) -> Any:
        assert may_begin.wait(60)
        return generate(files, bits)

    monkeypatch.setattr(KeyFiles, "_generated", when_it_may)
    chat = nomyo.SecureChatCompletion(router.url, True, key_dir=None)

    async def main() -> int:
        beats = 0
        request = asyncio.create_task(chat.create(model="m", messages=HELLO))
        await asyncio.sleep(0.1)
        assert not request.done()
        may_begin.set()
        while not request.done():
            beats += 1
            await asyncio.sleep(0.005)
        assert content(request.result()) == "Hello"
        return beats

    beats = asyncio.run(main())
    chat.dispose()
    assert beats > 3


def test_keep_alive_connections_are_used_again(router: RunningRouter, key_directory: Path) -> None:
    opened: list[int] = []

    async def main() -> None:
        async with nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory) as chat:
            for _ in range(5):
                await chat.create(model="m", messages=HELLO)
            opened.append(connections_to(router.url))

    asyncio.run(main())
    assert opened == [1]


@pytest.mark.parametrize("how", ["dispose", "aclose", "drop", "nothing"])
def test_no_connection_is_left_open(router: RunningRouter, key_directory: Path, how: str) -> None:
    async def main() -> None:
        chat = nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory)
        await chat.create(model="m", messages=HELLO)
        if how == "dispose":
            chat.dispose()
        elif how == "aclose":
            await chat.aclose()
        elif how == "drop":
            del chat
            gc.collect()

    asyncio.run(main())
    gc.collect()  # a ResourceWarning is an error here


def test_dispose_without_a_running_loop_closes_the_connections(router: RunningRouter, key_directory: Path) -> None:
    loop = asyncio.new_event_loop()
    chat = nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory)
    loop.run_until_complete(chat.create(model="m", messages=HELLO))
    chat.dispose()
    loop.close()
    gc.collect()


def test_aclose_in_another_loop_closes_the_connections_of_a_stopped_one(
    router: RunningRouter, key_directory: Path
) -> None:
    loop = asyncio.new_event_loop()
    chat = nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory)
    loop.run_until_complete(chat.create(model="m", messages=HELLO))
    asyncio.run(chat.aclose())
    loop.close()
    gc.collect()


def test_client_works_in_an_exit_handler(router: RunningRouter, key_directory: Path) -> None:
    program = (
        "import asyncio, atexit, sys, warnings, nomyo\n"
        "warnings.simplefilter('ignore', UserWarning)\n"
        "HELLO = [{'role': 'user', 'content': 'Hello'}]\n"
        "make = nomyo.SyncSecureChatCompletion\n"
        "@atexit.register\n"
        "def last():\n"
        "    with make(sys.argv[1], True, key_dir=sys.argv[2], key_rotation_interval=0) as chat:\n"
        "        print(chat.create(model='m', messages=HELLO).choices[0].message.content)\n"
    )
    assert output_of(program, router.url, str(key_directory)) == "Hello\n"


@pytest.mark.parametrize("moment", ["keys", "request", "idle"])
def test_exit_without_dispose_is_quiet(router: RunningRouter, key_directory: Path, moment: str) -> None:
    program = (
        "import asyncio, sys, threading, warnings, nomyo\n"
        "warnings.simplefilter('ignore', UserWarning)\n"
        "HELLO = [{'role': 'user', 'content': 'Hello'}]\n"
        "url, key_dir, moment = sys.argv[1:]\n"
        "chat = nomyo.SyncSecureChatCompletion(url, True, key_dir=None if moment == 'keys' else key_dir)\n"
        "if moment == 'request':\n"
        "    threading.Thread(target=chat.create, kwargs={'model': 'm', 'messages': HELLO}, daemon=True).start()\n"
        "if moment == 'idle':\n"
        "    chat.create(model='m', messages=HELLO)\n"
    )
    assert output_of(program, router.url, str(key_directory), moment) == ""


def test_dispose_in_another_thread_closes_the_connections(router: RunningRouter, key_directory: Path) -> None:
    async def main() -> None:
        chat = nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory)
        await chat.create(model="m", messages=HELLO)
        await asyncio.to_thread(chat.dispose)
        await asyncio.sleep(0.1)

    asyncio.run(main())
    gc.collect()


class Held:
    """Holds a router's answers back until the test lets them go."""

    def __init__(self, router: FaultyRouter) -> None:
        self.arrived, self.released = threading.Event(), threading.Event()
        router.change = self._hold

    def _hold(self, body: bytes) -> bytes:
        self.arrived.set()
        self.released.wait(10)
        return body


def test_async_request_under_way_ends_when_its_client_is_disposed_of(
    faulty_router: FaultyRouter, key_directory: Path
) -> None:
    held = Held(faulty_router)

    async def main() -> None:
        chat = nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory)
        requests = [asyncio.create_task(chat.create(model="m", messages=HELLO)) for _ in range(4)]
        await asyncio.to_thread(held.arrived.wait, 10)
        chat.dispose()
        held.released.set()
        for outcome in await asyncio.gather(*requests, return_exceptions=True):
            assert isinstance(outcome, nomyo.DisposedError)

    asyncio.run(main())


def test_sync_request_under_way_ends_when_its_client_is_disposed_of(
    faulty_router: FaultyRouter, key_directory: Path
) -> None:
    held = Held(faulty_router)
    chat = nomyo.SyncSecureChatCompletion(faulty_router.url, True, key_dir=key_directory)
    with ThreadPoolExecutor(2) as threads:
        requests = [threads.submit(chat.create, model="m", messages=HELLO) for _ in range(2)]
        assert held.arrived.wait(10)
        chat.dispose()
        held.released.set()
        for request in requests:
            assert isinstance(request.exception(10), nomyo.DisposedError)


def test_cancelled_request_leaves_the_client_usable(faulty_router: FaultyRouter, key_directory: Path) -> None:
    held = Held(faulty_router)

    async def main() -> None:
        async with nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory) as chat:
            request = asyncio.create_task(chat.create(model="m", messages=HELLO))
            await asyncio.to_thread(held.arrived.wait, 10)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
            held.released.set()
            faulty_router.change = None
            assert content(await chat.create(model="m", messages=HELLO)) == "Hello"
            pair = chat._client._exchange._keys._pair
            assert pair
            assert pair.leases == 0

    asyncio.run(main())


def test_request_can_be_given_a_deadline(faulty_router: FaultyRouter, key_directory: Path) -> None:
    held = Held(faulty_router)

    async def main() -> None:
        async with nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory) as chat:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(chat.create(model="m", messages=HELLO), 0.3)
            held.released.set()

    asyncio.run(main())


class TestOwnHttpClient:
    def test_async_client_is_used_and_left_open(self, faulty_router: FaultyRouter, key_directory: Path) -> None:
        async def main() -> None:
            async with httpx.AsyncClient(headers={"x-mine": "yes"}, follow_redirects=True) as own:
                chat = nomyo.SecureChatCompletion(faulty_router.url, True, key_dir=key_directory, http_client=own)
                await chat.create(model="m", messages=HELLO)
                await chat.create(model="m", messages=HELLO, base_url=faulty_router.url)
                await chat.aclose()
                assert not own.is_closed

        asyncio.run(main())
        assert {post.headers["x-mine"] for post in faulty_router.posts} == {"yes"}

    def test_sync_client_is_used_and_left_open(self, faulty_router: FaultyRouter, key_directory: Path) -> None:
        with httpx.Client(headers={"x-mine": "yes"}, follow_redirects=True) as own:
            with nomyo.SyncSecureChatCompletion(
                faulty_router.url, True, key_dir=key_directory, http_client=own
            ) as chat:
                chat.create(model="m", messages=HELLO)
            assert not own.is_closed
        assert faulty_router.posts[0].headers["x-mine"] == "yes"

    def test_transport_that_answers_from_memory_will_do(self, router: RunningRouter, key_directory: Path) -> None:
        def forward(request: httpx.Request) -> httpx.Response:
            with httpx.Client() as real:
                answer = real.request(request.method, request.url, headers=request.headers, content=request.content)
            return httpx.Response(answer.status_code, content=answer.content)

        with (
            httpx.Client(transport=httpx.MockTransport(forward)) as own,
            nomyo.SyncSecureChatCompletion(router.url, True, key_dir=key_directory, http_client=own) as chat,
        ):
            assert content(chat.create(model="m", messages=HELLO)) == "Hello"

        async def main() -> None:
            async with (
                httpx.AsyncClient(transport=httpx.MockTransport(forward)) as own,
                nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory, http_client=own) as chat,
            ):
                assert content(await chat.create(model="m", messages=HELLO)) == "Hello"

        asyncio.run(main())

    @pytest.mark.parametrize("follow", [True, False])
    def test_redirects_stay_off(self, faulty_router: FaultyRouter, key_directory: Path, follow: bool) -> None:
        from support.faults import Answer

        faulty_router.answers.append(Answer(307, b"", {"location": faulty_router.url + "/elsewhere"}))
        with httpx.Client(follow_redirects=follow) as own:
            chat = nomyo.SyncSecureChatCompletion(faulty_router.url, True, key_dir=key_directory, http_client=own)
            with pytest.raises(nomyo.APIError) as raised:
                chat.create(model="m", messages=HELLO)
            chat.dispose()
        assert raised.value.status_code == 307
        assert [request.path for request in faulty_router.received].count("/elsewhere") == 0


@pytest.mark.parametrize(("size", "in_threads"), [(200, 1), (100_000, 1), (200_000, 2)])
def test_small_messages_are_sealed_where_they_are(
    router: RunningRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch, size: int, in_threads: int
) -> None:
    handed_over: list[Compute] = []
    do = CryptoThreads.do

    async def note(threads: CryptoThreads, work: Compute) -> Any:
        handed_over.append(work)
        return await do(threads, work)

    async def ask_twice() -> None:
        async with nomyo.SecureChatCompletion(router.url, True, key_dir=key_directory) as chat:
            await chat.create(model="m", messages=HELLO)  # fetches the router's key
            monkeypatch.setattr(CryptoThreads, "do", note)
            await chat.create(model="m", messages=[{"role": "user", "content": "x" * size}])

    asyncio.run(ask_twice())
    assert len(handed_over) == in_threads  # opening is always one


def test_only_an_event_loop_measures_whether_it_seals_itself(
    router: RunningRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[int] = []
    fits = _core.fits

    def note(payload: dict[str, Any], limit_bytes: int) -> bool:
        measured.append(limit_bytes)
        return fits(payload, limit_bytes)

    monkeypatch.setattr(_core, "fits", note)
    with nomyo.SyncSecureCompletionClient(router.url, True, key_dir=key_directory) as client:
        client.wait_for_server_key()
        client.encrypt_payload({"model": "m", "messages": HELLO})
    assert measured == []


def test_each_header_of_a_request_is_sent_once(faulty_router: FaultyRouter, key_directory: Path) -> None:
    async def ask() -> None:
        async with nomyo.SecureChatCompletion(faulty_router.url, True, api_key="k", key_dir=key_directory) as chat:
            await chat.create(model="m", messages=HELLO)

    asyncio.run(ask())
    for received in faulty_router.received:
        names = [name for name, _ in received.raw_headers]
        assert len(names) == len(set(names)), names
        assert received.headers["accept-encoding"] == "identity"
