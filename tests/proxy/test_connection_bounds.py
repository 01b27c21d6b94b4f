"""However many connections strangers open, whoever has the token is answered, and the log stays short."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import select
import socket
import struct
import subprocess
import sys
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from nomyo import SecureCompletionClient, SyncSecureChatCompletion
from nomyo.serve.bounds import Bounds
from nomyo.serve.listener import Listener
from nomyo.serve.proxy import ProxyConfig, create_app
from nomyo.serve.router.running import RunningRouter
from nomyo.serve.server import BackgroundServer
from nomyo.serve.timed_http import TimedHttp
from support.connections import connections_of
from support.held_router import HeldRouter
from support.process import LIMITED, run_python
from support.proxied import TOKEN, chat, proxy_process, said_by
from support.raw_client import connect
from support.router_process import router_process
from support.tls import Authority
from support.unhardened import UNHARDENED
from support.waiting import until

DESCRIPTORS = 256
FEW_DESCRIPTORS = [*LIMITED, f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"]
FEW_AND_COUNTED = [*FEW_DESCRIPTORS, *UNHARDENED]
CROWD = 400
LONGEST_LOG_BYTES = 4096


def harmful(path: str) -> list[bytes]:
    """Return how connections of strangers begin: idle, slow, and with a body that nobody reads."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    return [b"", b"POST ", head.encode(), f"{head}Content-Length: 100\r\n\r\n{{".encode()]


@contextmanager
def crowd(url: str, path: str, size: int = CROWD) -> Iterator[list[socket.socket]]:
    """Open connections of strangers, and keep what the server keeps of them."""
    with ExitStack() as stack:
        held = [stack.enter_context(connect(url)) for _ in range(size)]
        begun = harmful(path)
        for number, connection in enumerate(held):
            with contextlib.suppress(OSError):  # closed already, to make room
                connection.sendall(begun[number % len(begun)])
        yield held


def descriptors_of(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_proxy_answers_those_with_its_token_amid_a_crowd(router: RunningRouter, key_directory: Path) -> None:
    with proxy_process(router.url, key_directory, before=FEW_AND_COUNTED) as proxy:
        with crowd(proxy.url, "/v1/chat/completions"), ThreadPoolExecutor(8) as threads:
            answers = [threads.submit(proxy.post, chat(str(number))) for number in range(24)]
            assert [said_by(one.result()) for one in answers] == [str(number) for number in range(24)]
            assert descriptors_of(proxy.process.pid) < DESCRIPTORS
            with crowd(proxy.url, "/v1/chat/completions"):
                assert said_by(proxy.post(chat("still"))) == "still"
        assert proxy.stop() == 0
    assert "too many connections" in proxy.stderr
    assert "Traceback" not in proxy.stderr
    assert len(proxy.stderr) < LONGEST_LOG_BYTES + 24 * 200  # a line for each answer, too


def test_router_answers_those_with_its_token_amid_a_crowd(key_directory: Path) -> None:
    with router_process("--api-key", TOKEN, before=FEW_AND_COUNTED) as (process, url):
        with crowd(url, "/v1/chat/secure_completion"):
            with SyncSecureChatCompletion(url, allow_http=True, api_key=TOKEN, key_dir=key_directory) as client:
                for number in range(8):
                    messages = [{"role": "user", "content": str(number)}]
                    answer = client.create(model="any", messages=messages)
                    assert answer.choices[0].message.content == str(number)
            assert descriptors_of(process.pid) < DESCRIPTORS
        process.terminate()
        log = process.communicate(timeout=60)[1]
    assert "too many connections" in log
    assert "Traceback" not in log
    assert len(log) < 4 * LONGEST_LOG_BYTES


# A server that has been promised more connections than it has descriptors.
OUT_OF_DESCRIPTORS = """
import sys
from nomyo.serve.bounds import Bounds
from nomyo.serve.listener import Listener
from nomyo.serve.server import BackgroundServer

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

with BackgroundServer(application, Listener(bounds=Bounds(connections=10_000))) as server:
    print(server.url, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow("a hundred connections to a process of 48 descriptors")
def test_system_without_descriptors_is_told_of_once_and_the_oldest_connections_go() -> None:
    words = [*LIMITED, "--nofile=48:48", sys.executable, "-c", OUT_OF_DESCRIPTORS]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as process:
        assert process.stdout
        url = process.stdout.readline().strip()
        with crowd(url, "/", 100):
            for _ in range(3):
                assert httpx.get(url, timeout=60, trust_env=False).text == "ok"
        log = process.communicate("", timeout=60)[1]
    assert log.count("could not be accepted: Too many open files") in (1, 2)  # 2: how many more there were
    assert "Traceback" not in log
    assert len(log) < LONGEST_LOG_BYTES


@contextmanager
def bounded_proxy(router_url: str, connections: int, tls: Authority | None = None) -> Iterator[BackgroundServer]:
    with pytest.warns(UserWarning, match="plain HTTP"):
        client = SecureCompletionClient(router_url, True, key_dir=None, key_size=2048)
    files: dict[str, Any] = {} if tls is None else {"tls_cert": tls.certificate, "tls_key": tls.key}
    listener = Listener(bounds=Bounds(connections=connections), **files)
    with BackgroundServer(create_app(ProxyConfig(TOKEN), client), listener) as server:
        yield server


def ask(connection: socket.socket, url: str) -> int:
    """Ask on a connection that is kept, with the token; return the status, 0 where the server has ended it."""
    host = url.partition("//")[2]
    with contextlib.suppress(OSError):
        connection.sendall(f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode())
        received = b""
        while not received.endswith(b"}"):
            data = connection.recv(4096)
            if not data:
                return 0
            received += data
        return int(received.split()[1])
    return 0


def ended(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], 0)[0])


def test_connection_that_has_shown_the_token_outlives_all_that_have_not(router: RunningRouter) -> None:
    with bounded_proxy(router.url, 8) as server, connect(server.url) as known:
        assert ask(known, server.url) == 200
        with crowd(server.url, "/v1/chat/completions", 60) as strangers:
            until(lambda: sum(not ended(one) for one in strangers) <= 4)
            assert not any(ended(one) for one in strangers[-4:-1])  # new; the last of all was refused
            assert ask(known, server.url) == 200


def test_more_connections_with_the_token_than_half_outlive_strangers_too(router: RunningRouter) -> None:
    with bounded_proxy(router.url, 32) as server, ExitStack() as stack:
        known: list[socket.socket] = []
        for _ in range(28):
            known.append(stack.enter_context(connect(server.url)))
            assert ask(known[-1], server.url) == 200
        with crowd(server.url, "/v1/chat/completions", 200) as strangers:
            until(lambda: sum(not ended(one) for one in strangers) <= 4)
            assert [ask(one, server.url) for one in known] == [200] * 28
            with connect(server.url) as new:
                assert ask(new, server.url) == 200


def test_connection_that_is_unused_for_longest_goes_first(router: RunningRouter) -> None:
    with bounded_proxy(router.url, 4) as server, ExitStack() as stack:
        known = []
        for _ in range(4):
            known.append(stack.enter_context(connect(server.url)))
            assert ask(known[-1], server.url) == 200
        assert ask(known[0], server.url) == 200  # the second is now the one that is unused for longest
        known.append(stack.enter_context(connect(server.url)))
        assert ask(known[-1], server.url) == 200
        assert [ask(one, server.url) for one in known] == [200, 0, 200, 200, 200]


def test_request_under_way_is_never_given_up_for_a_new_connection(key_directory: Path) -> None:
    with HeldRouter() as router, bounded_proxy(router.url, 4) as server, ThreadPoolExecutor(8) as threads:

        def post(text: str) -> httpx.Response:
            headers = {"authorization": f"Bearer {TOKEN}"}
            url = f"{server.url}/v1/chat/completions"
            return httpx.post(url, json=chat(text), headers=headers, timeout=60, trust_env=False)

        asked = []
        for number in range(4):  # one after the other: of those that have not sent a token yet, two may be there
            asked.append(threads.submit(post, str(number)))
            until(lambda expected=number + 1: router.under_way == expected)  # type: ignore[misc]
        with crowd(server.url, "/v1/chat/completions", 20) as strangers:
            until(lambda: all(ended(one) for one in strangers))
        router.let_go.set()
        assert [said_by(one.result()) for one in asked] == ["0", "1", "2", "3"]


def test_connection_that_is_lost_before_it_is_accepted_costs_no_other(
    router: RunningRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost: list[int] = []
    accept = BaseSelectorEventLoop.sock_accept

    async def accept_all_but_the_second(loop: BaseSelectorEventLoop, listening: socket.socket) -> Any:
        lost.append(len(lost))
        if len(lost) == 2:
            raise OSError(errno.ECONNABORTED, "Software caused connection abort")
        return await accept(loop, listening)

    monkeypatch.setattr(BaseSelectorEventLoop, "sock_accept", accept_all_but_the_second)
    with bounded_proxy(router.url, 8) as server, connect(server.url) as known:
        until(lambda: len(lost) > 2)
        assert ask(known, server.url) == 200


RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close by a reset


def test_tls_connections_that_are_reset_do_not_end_the_accepting(
    router: RunningRouter, tls_authority: Authority
) -> None:
    with bounded_proxy(router.url, 4, tls_authority) as server, ThreadPoolExecutor(8) as threads:

        def come_and_go(_: int) -> None:
            with contextlib.suppress(OSError), connect(server.url, tls_authority.ca) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

        list(threads.map(come_and_go, range(200)))
        with connect(server.url, tls_authority.ca) as known:
            assert ask(known, server.url) == 200


def test_tls_connection_that_is_given_up_as_its_handshake_ends_leaves_nothing(
    router: RunningRouter,
    tls_authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = TimedHttp.connection_made

    def given_up(protocol: TimedHttp, transport: asyncio.Transport) -> None:
        assert protocol.beginning is not None
        protocol.beginning.cancel()
        made(protocol, transport)

    with bounded_proxy(router.url, 4, tls_authority) as server:
        monkeypatch.setattr(TimedHttp, "connection_made", given_up)
        with contextlib.suppress(OSError), connect(server.url, tls_authority.ca) as connection:
            assert connection.recv(1) == b""
        until(lambda: connections_of(server.url) == 0)
        monkeypatch.undo()
        with connect(server.url, tls_authority.ca) as known:
            assert ask(known, server.url) == 200
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


RAISED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[1]), int(sys.argv[2])))
from nomyo.serve.bounds import Bounds, raise_descriptor_limit
raise_descriptor_limit()
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0], Bounds().max_connections())
"""


@pytest.mark.parametrize(
    ("soft", "hard", "limit", "connections"),
    [
        (256, 256, 256, 96),
        (256, 1024, 1024, 480),
        (1024, 16384, 4160, 2048),
        (8192, 16384, 8192, 2048),
        (32, 32, 32, 16),
    ],
)
def test_bound_follows_from_the_limit_of_descriptors(soft: int, hard: int, limit: int, connections: int) -> None:
    assert run_python(RAISED, str(soft), str(hard)).stdout.split() == [str(limit), str(connections)]
