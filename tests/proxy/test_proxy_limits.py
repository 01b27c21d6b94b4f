"""What the proxy bounds: bodies, time, requests at once; and how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from nomyo import SecureCompletionClient
from nomyo.serve.listener import Listener
from nomyo.serve.proxy import ProxyConfig, create_app
from nomyo.serve.proxy.slots import Slots
from nomyo.serve.router.running import RunningRouter
from nomyo.serve.server import BackgroundServer
from support.held_router import HeldRouter
from support.proxied import TOKEN, Proxy, chat, error_of, proxy_process, said_by
from support.waiting import until

LIMIT = 100_000


@pytest.fixture
def held_router() -> Iterator[HeldRouter]:
    with HeldRouter() as router:
        yield router


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


@pytest.fixture(scope="module")
def small(router: RunningRouter, key_directory: Path) -> Iterator[Proxy]:
    with proxy_process(router.url, key_directory, "--max-body", str(LIMIT)) as proxy:
        yield proxy


def connected(proxy: Proxy, *headers: str) -> socket.socket:
    """Begin a request by hand."""
    connection = socket.create_connection(("127.0.0.1", proxy.port), timeout=30)
    head = [
        "POST /v1/chat/completions HTTP/1.1",
        f"Host: 127.0.0.1:{proxy.port}",
        f"Authorization: Bearer {TOKEN}",
        "Content-Type: application/json",
        *headers,
    ]
    connection.sendall("\r\n".join([*head, "", ""]).encode())
    return connection


def test_body_as_long_as_allowed_is_served_and_a_longer_one_is_not(small: Proxy) -> None:
    around = len(json.dumps(chat("")))
    fits = chat("a" * (LIMIT - around))
    assert said_by(small.post(fits)) == fits["messages"][0]["content"]
    assert error_of(small.post(chat("a" * (LIMIT - around + 1)))) == (413, "invalid_request_error", "request_too_large")


def test_body_of_unknown_length_is_counted_as_it_comes(small: Proxy) -> None:
    with connected(small, "Transfer-Encoding: chunked") as connection:
        chunk = b"1000\r\n" + b"a" * 0x1000 + b"\r\n"
        sent = 0
        connection.settimeout(0.05)
        answer = b""
        while not answer and sent < 100 * LIMIT:
            connection.sendall(chunk)
            sent += 0x1000
            try:
                answer = connection.recv(4096)
            except TimeoutError:
                continue
    assert b" 413 " in answer
    assert sent < 3 * LIMIT


def test_length_that_is_declared_is_believed_where_it_is_too_long(small: Proxy) -> None:
    with connected(small, "Content-Length: 99999999999") as connection:
        assert b" 413 " in connection.recv(4096)


def test_body_that_does_not_come_is_not_waited_for(router: RunningRouter) -> None:
    client = SecureCompletionClient(router.url, True, key_dir=None, key_size=2048)
    app = create_app(ProxyConfig(TOKEN, body_timeout_s=0.3), client)
    with BackgroundServer(app, Listener()) as server:
        port = int(server.url.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {TOKEN}\r\n"
            connection.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{{".encode())
            assert b" 408 " in connection.recv(4096)


def test_requests_at_once_are_bounded_those_that_wait_too(
    held_router: HeldRouter, key_directory: Path, threads: ThreadPoolExecutor
) -> None:
    with proxy_process(held_router.url, key_directory, "--concurrency", "2", "--queue", "3") as proxy:
        served = [threads.submit(proxy.post, chat(str(number))) for number in range(5)]
        until(lambda: held_router.under_way == 2)
        until(lambda: "nomyo_proxy_waiting 3.0" in proxy.get("/metrics").text)
        answer = proxy.post(chat("one too many"))
        assert error_of(answer) == (429, "rate_limit_error", "too_many_requests")
        assert answer.headers["retry-after"] == "1"
        assert "x-should-retry" not in answer.headers
        assert "nomyo_proxy_in_flight 2.0" in proxy.get("/metrics").text
        held_router.let_go.set()
        assert [said_by(one.result()) for one in served] == ["0", "1", "2", "3", "4"]
        assert said_by(proxy.post(chat("again"))) == "again"
    assert held_router.most == 2


@pytest.mark.parametrize("stream", [False, True])
def test_answer_that_nobody_takes_keeps_its_place(router: RunningRouter, key_directory: Path, stream: bool) -> None:
    body = json.dumps(chat("a" * 8_000_000, stream=stream)).encode()
    with proxy_process(router.url, key_directory, "--concurrency", "1", "--queue", "0") as proxy:
        with connected(proxy, f"Content-Length: {len(body)}") as connection:
            connection.sendall(body)
            assert b" 200 " in connection.recv(100)
            assert error_of(proxy.post(chat("one too many"))) == (429, "rate_limit_error", "too_many_requests")
        until(lambda: proxy.post(chat("next")).status_code == 200)


def test_turn_that_does_not_come_is_not_waited_for_for_ever(
    held_router: HeldRouter, threads: ThreadPoolExecutor
) -> None:
    client = SecureCompletionClient(held_router.url, True, key_dir=None, key_size=2048)
    app = create_app(ProxyConfig(TOKEN, max_at_once=1, patience_s=0.3), client)
    with BackgroundServer(app, Listener()) as server:

        def ask(text: str) -> httpx.Response:
            headers = {"authorization": f"Bearer {TOKEN}"}
            url = f"{server.url}/v1/chat/completions"
            return httpx.post(url, json=chat(text), headers=headers, timeout=60, trust_env=False)

        first = threads.submit(ask, "first")
        until(lambda: held_router.under_way == 1)
        assert error_of(ask("second")) == (429, "rate_limit_error", "too_many_requests")
        held_router.let_go.set()
        assert said_by(first.result()) == "first"


def test_caller_that_goes_away_cancels_its_request_and_frees_its_place(
    held_router: HeldRouter, key_directory: Path
) -> None:
    with proxy_process(held_router.url, key_directory, "--concurrency", "1", "--queue", "0") as proxy:
        body = json.dumps(chat()).encode()
        with connected(proxy, f"Content-Length: {len(body)}") as connection:
            connection.sendall(body)
            until(lambda: held_router.under_way == 1)
        until(lambda: held_router.given_up == 1)
        held_router.let_go.set()
        until(lambda: proxy.post(chat("next")).status_code == 200)
        assert proxy.stop() == 0
        assert "refused: 499 caller_gone" in proxy.stderr
        assert "Traceback" not in proxy.stderr


@pytest.mark.parametrize("moments", range(6))
def test_caller_that_goes_away_when_its_turn_comes_is_not_served(moments: int) -> None:
    async def main() -> None:
        slots = Slots(1, 1, patience_s=60)

        async def ask() -> None:
            async with slots.slot():
                await asyncio.sleep(0.01)

        async with slots.slot():
            asked = asyncio.create_task(ask())
            await asyncio.sleep(0.01)
        for _ in range(moments):
            await asyncio.sleep(0)
        asked.cancel()
        await asyncio.wait([asked])
        assert asked.cancelled()
        async with slots.slot():
            assert slots.at_work == 1

    asyncio.run(main())


def test_caller_that_goes_away_in_the_queue_leaves_it(
    held_router: HeldRouter, key_directory: Path, threads: ThreadPoolExecutor
) -> None:
    with proxy_process(held_router.url, key_directory, "--concurrency", "1", "--queue", "1") as proxy:
        first = threads.submit(proxy.post, chat("first"))
        until(lambda: held_router.under_way == 1)
        body = json.dumps(chat("gone")).encode()
        with connected(proxy, f"Content-Length: {len(body)}") as connection:
            connection.sendall(body)
            until(lambda: "nomyo_proxy_waiting 1.0" in proxy.get("/metrics").text)
        until(lambda: "nomyo_proxy_waiting 0.0" in proxy.get("/metrics").text)
        held_router.let_go.set()
        assert said_by(first.result()) == "first"


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_stop_finishes_what_is_under_way_and_takes_nothing_more(
    held_router: HeldRouter, key_directory: Path, threads: ThreadPoolExecutor, how: signal.Signals
) -> None:
    with proxy_process(held_router.url, key_directory) as proxy:
        last = threads.submit(proxy.post, chat("the last"))
        until(lambda: held_router.under_way == 1)
        ended: Future[int] = threads.submit(proxy.stop, how)
        until(lambda: not _accepts(proxy.port))
        time.sleep(1)  # longer than uvicorn takes to look around
        assert proxy.process.poll() is None
        held_router.let_go.set()
        assert said_by(last.result()) == "the last"
        assert ended.result() == 0
        assert "Traceback" not in proxy.stderr


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_stop_does_not_wait_for_longer_than_its_grace(
    held_router: HeldRouter, key_directory: Path, threads: ThreadPoolExecutor
) -> None:
    with proxy_process(held_router.url, key_directory, "--grace", "1") as proxy:
        last = threads.submit(proxy.post, chat("never"))
        until(lambda: held_router.under_way == 1)
        began_at = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - began_at < 20
        assert error_of(last.result()) == (503, "server_error", "stopping")
        assert "Traceback" not in proxy.stderr
    until(lambda: held_router.given_up == 1)


def test_stop_does_not_wait_for_a_caller_that_does_not_take_its_answer(
    router: RunningRouter, key_directory: Path
) -> None:
    body = json.dumps(chat("a" * 8_000_000)).encode()
    with (
        proxy_process(router.url, key_directory, "--grace", "1") as proxy,
        connected(proxy, f"Content-Length: {len(body)}") as connection,
    ):
        connection.sendall(body)
        assert b" 200 " in connection.recv(100)
        assert proxy.stop() == 0
        assert "Traceback" not in proxy.stderr


def test_connections_that_say_nothing_do_not_keep_it_from_serving_or_stopping(
    router: RunningRouter, key_directory: Path
) -> None:
    with proxy_process(router.url, key_directory) as proxy:
        silent = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(50)]
        assert said_by(proxy.post(chat("meanwhile"))) == "meanwhile"
        began_at = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - began_at < 15
        for connection in silent:
            connection.close()
