"""Whatever a client does, or leaves undone, its connection ends: each state of one has a deadline of the server's."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from nomyo import SecureCompletionClient
from nomyo.serve.bounds import Bounds
from nomyo.serve.listener import Listener
from nomyo.serve.proxy import ProxyConfig, create_app
from nomyo.serve.router import RouterConfig, RunningRouter
from nomyo.serve.server import BackgroundServer
from support.connections import connections_of
from support.one_answer import one_answer
from support.raw_client import Held, connect, hold
from support.tls import Authority
from support.waiting import until

TOKEN = "canary-local-token-41c7"
BOUNDS = Bounds(head_s=2, idle_s=2, body_s=2, stall_s=2, answer_s=4, linger_s=1, linger_bytes=1 << 20)
# All deadlines together, and as much again for a machine that is busy: a connection without one is held for ever.
LONGEST_S = 40.0


@dataclass(frozen=True)
class Server:
    url: str
    offered: str
    """A path that needs the token, and a body."""
    open_path: str
    """One that needs neither."""
    ca: Path | None = None


@contextmanager
def proxy(router: RunningRouter, authority: Authority | None = None) -> Iterator[Server]:
    certificate, key = (None, None) if authority is None else (authority.certificate, authority.key)
    with pytest.warns(UserWarning, match="plain HTTP"):
        client = SecureCompletionClient(router.url, True, key_dir=None, key_size=2048)
    app = create_app(ProxyConfig(TOKEN), client)
    with BackgroundServer(app, Listener("127.0.0.1", 0, certificate, key, BOUNDS)) as server:
        yield Server(server.url, "/v1/chat/completions", "/healthz", authority.ca if authority else None)


@pytest.fixture(scope="module")
def bounded_router() -> Iterator[Server]:
    config = RouterConfig(key_bits=2048, api_keys=frozenset({TOKEN}), listener=Listener(bounds=BOUNDS))
    with RunningRouter(config) as router:
        yield Server(router.url, "/v1/chat/secure_completion", "/pki/public_key")


@pytest.fixture(scope="module", params=["proxy", "router", "proxy over TLS"])
def server(
    request: pytest.FixtureRequest, router: RunningRouter, bounded_router: Server, tls_authority: Authority
) -> Iterator[Server]:
    if request.param == "router":
        yield bounded_router
        return
    with proxy(router, tls_authority if "TLS" in request.param else None) as server:
        yield server


@dataclass(frozen=True)
class Case:
    """What a client sends, again and again afterwards, and the statuses that it gets."""

    sent: str
    drip: str = ""
    statuses: tuple[int, ...] = ()


ASKED = "POST {offered} HTTP/1.1\r\nHost: {host}\r\n"
OPEN = "GET {open} HTTP/1.1\r\nHost: {host}\r\n"
LET_IN = ASKED + "Authorization: Bearer {token}\r\nContent-Type: {type}\r\n{own}"
CASES = {
    "nothing is sent": Case(""),
    "half a request line": Case("GET / HT"),
    "half a head": Case(OPEN + "X-Never: "),
    "a head that drips": Case(OPEN + "X-Never: ", "a"),
    "a head of lines that drip": Case(OPEN, "X-A: b\r\n"),
    "a head with a token, and no body": Case(LET_IN + "Content-Length: 9\r\n\r\n"),
    "one byte of a body": Case(LET_IN + "Content-Length: 9\r\n\r\n{{"),
    "a body that drips": Case(LET_IN + "Content-Length: 99999\r\n\r\n{{", " "),
    "a body that is waited for": Case(LET_IN + "Content-Length: 9\r\nExpect: 100-continue\r\n\r\n", "", (100,)),
    "chunks that drip": Case(LET_IN + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n"),
    "the size of a chunk that drips": Case(LET_IN + "Transfer-Encoding: chunked\r\n\r\n1;", "a"),
    "trailers that drip": Case(LET_IN + "Transfer-Encoding: chunked\r\n\r\n0\r\n", "X-A: b\r\n"),
    "refused, and the body does not come": Case(ASKED + "Content-Length: 100\r\n\r\n{{", "", (401,)),
    "refused, and the body drips": Case(ASKED + "Content-Length: 100\r\n\r\n{{", "x", (401,)),
    "refused, and chunks drip": Case(ASKED + "Transfer-Encoding: chunked\r\n\r\n", "1\r\n \r\n", (401,)),
    "refused, and no HTTP follows": Case(ASKED + "Transfer-Encoding: chunked\r\n\r\n", "x", (401,)),
    "refused, and was to be told to go on": Case(
        ASKED + "Content-Length: 100\r\nExpect: 100-continue\r\n\r\n", "x", (401,)
    ),
    "answered, and the body drips": Case(OPEN + "Content-Length: 100\r\n\r\n{{", "x", (200,)),
    "answered, and silence": Case(OPEN + "\r\n", "", (200,)),
    "answered, and half a head": Case(OPEN + "\r\n" + OPEN, "", (200,)),
    "answered, and a head that drips": Case(OPEN + "\r\n" + OPEN + "X-Never: ", "a", (200,)),
    "answered, and to be closed": Case(OPEN + "Connection: close\r\n\r\n", "", (200,)),
    "answered, and to be closed, and more": Case(OPEN + "Connection: close\r\n\r\n", "x", (200,)),
    "HTTP/1.0": Case("GET {open} HTTP/1.0\r\nHost: {host}\r\n\r\n", "", (200,)),
    "two at once, and half of a third": Case(2 * (OPEN + "\r\n") + OPEN, "", (200, 200)),
    "another protocol is asked for": Case(OPEN + "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n", "", (200,)),
    "HTTP/2 is asked for": Case(OPEN + "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n", "x"),
    "HTTP/2 is spoken": Case("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\0"),
    "a tunnel is asked for": Case("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n"),
    "a tunnel is asked for, and used": Case("CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\n", "x"),
    "no HTTP": Case("\x16\x03\x01\x02", "\x01", (400,)),
    "no HTTP where a body should be": Case(LET_IN + "Transfer-Encoding: chunked\r\n\r\nx\r\n", "x", (400,)),
}


def played(server: Server, case: Case) -> Held:
    host = server.url.partition("//")[2]
    own = "" if server.open_path == "/healthz" else _own_headers(server)
    kind = "application/octet-stream" if own else "application/json"
    words = {"offered": server.offered, "open": server.open_path, "host": host, "token": TOKEN, "type": kind}
    with connect(server.url, server.ca) as connection:
        connection.sendall(case.sent.format(**words, own=own).encode("latin-1"))
        return hold(connection, case.drip.encode("latin-1"), longest_s=LONGEST_S)


def _own_headers(server: Server) -> str:
    """Return what the router asks of a head before it reads a body."""
    pem = httpx.get(server.url + server.open_path, trust_env=False).text
    return f"X-Payload-ID: 01234567-89ab-cdef-0123-456789abcdef\r\nX-Public-Key: {quote(pem)}\r\n"


def test_connection_ends_in_every_state(server: Server) -> None:
    with ThreadPoolExecutor(len(CASES)) as pool:
        playing = {name: pool.submit(played, server, case) for name, case in CASES.items()}
        held = {name: one.result() for name, one in playing.items()}
    assert [name for name, one in held.items() if one.seconds is None] == []
    got = {name: tuple(one.statuses) for name, one in held.items() if CASES[name].statuses}
    assert got == {name: case.statuses for name, case in CASES.items() if case.statuses}
    # A request whose body was not read says that it is the last one.
    unread = [
        name for name, one in held.items() if name.startswith("refused") and b"connection: close" not in one.received
    ]
    assert unread == []


def half_closed(server: Server, sent: str) -> Held:
    with connect(server.url) as connection:
        connection.sendall(sent.encode())
        connection.shutdown(socket.SHUT_WR)
        return hold(connection, longest_s=LONGEST_S)


@pytest.mark.parametrize("sent", ["", "GET / HT", OPEN, ASKED + "Content-Length: 100\r\n\r\n{{", OPEN + "\r\n"])
def test_connection_ends_with_the_clients_half_of_it(bounded_router: Server, sent: str) -> None:
    words = {"offered": bounded_router.offered, "open": bounded_router.open_path, "host": "127.0.0.1"}
    assert half_closed(bounded_router, sent.format(**words)).seconds is not None


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET / HTTP/1.1\r\n\r\n"])
def test_tls_handshake_that_does_not_end_is_not_waited_for(
    router: RunningRouter, tls_authority: Authority, sent: bytes
) -> None:
    with proxy(router, tls_authority) as server, connect(server.url) as connection:
        connection.sendall(sent)
        assert hold(connection, longest_s=LONGEST_S).seconds is not None


def test_client_that_sends_its_whole_body_gets_the_answer_that_came_before(bounded_router: Server) -> None:
    body = bytes(BOUNDS.linger_bytes // 2)
    head = f"POST {bounded_router.offered} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
    with connect(bounded_router.url) as connection:
        connection.sendall(head.encode())
        select.select([connection], [], [], LONGEST_S)  # the answer is there before the body is sent
        connection.sendall(body)
        held = hold(connection, longest_s=LONGEST_S)
    assert held.statuses == [401]
    assert held.received.endswith(b'{"detail":"Invalid or missing API key"}')


def test_body_whose_answer_came_before_is_taken_within_bounds(bounded_router: Server) -> None:
    head = f"POST {bounded_router.offered} HTTP/1.1\r\nHost: a\r\nContent-Length: {1 << 40}\r\n\r\n"
    sent = 0
    with connect(bounded_router.url) as connection:
        connection.sendall(head.encode())
        with contextlib.suppress(OSError):
            while sent < 100 * BOUNDS.linger_bytes:
                connection.sendall(bytes(1 << 16))
                sent += 1 << 16
    assert sent < 30 * BOUNDS.linger_bytes  # the sockets' buffers hold some more


@pytest.fixture
def generous() -> Iterator[BackgroundServer]:
    with BackgroundServer(one_answer(64 << 20), Listener(bounds=BOUNDS)) as server:
        yield server


def test_answer_that_is_taken_in_drops_has_a_deadline(generous: BackgroundServer) -> None:
    with connect(generous.url) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        taken, began_at = 0, time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - began_at < LONGEST_S and (data := connection.recv(1 << 16)):
                taken += len(data)
                time.sleep(0.05)  # never so long that it would count as nothing taken
        assert time.monotonic() - began_at < LONGEST_S
        assert taken < 64 << 20


@pytest.mark.parametrize("ending", ["", "Connection: close\r\n"])
@pytest.mark.parametrize("count", [1, 2000])
def test_answers_that_nobody_takes_have_a_deadline(generous: BackgroundServer, ending: str, count: int) -> None:
    with connect(generous.url) as connection:
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            connection.send(count * f"GET / HTTP/1.1\r\nHost: a\r\n{ending}\r\n".encode())
        until(lambda: connections_of(generous.url) == 0)


@pytest.mark.parametrize("half_closed", [False, True])
def test_small_answers_that_nobody_takes_have_a_deadline(bounded_router: Server, half_closed: bool) -> None:
    asked = f"GET {bounded_router.open_path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # soon full
        connection.settimeout(1)
        connection.connect(("127.0.0.1", int(bounded_router.url.rpartition(":")[2])))
        with contextlib.suppress(OSError):
            for _ in range(20):
                connection.sendall(100 * asked)
        if half_closed:
            connection.shutdown(socket.SHUT_WR)
        until(lambda: connections_of(bounded_router.url) == 0, timeout_s=120)


def test_stop_does_not_wait_for_connections_that_do_nothing(router: RunningRouter) -> None:
    with proxy(router) as server:
        open_ones = [connect(server.url) for _ in range(20)]
        for number, connection in enumerate(open_ones):
            connection.sendall(
                [b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"][number % 3]
            )
        time.sleep(0.5)
        began_at = time.monotonic()
    assert time.monotonic() - began_at < 15
    for connection in open_ones:
        connection.close()


@pytest.mark.slow("the server's grace of five seconds")
def test_stop_gives_up_an_answer_that_nobody_takes_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    with BackgroundServer(one_answer(64 << 20), Listener()) as server:
        connection = connect(server.url)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(100)
        server.stop()  # after 5 seconds, the grace of requests under way
    connection.close()
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == ["Cancel 1 running task(s), timeout graceful shutdown exceeded"]
