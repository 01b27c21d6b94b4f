"""An answer is that of the request which it was asked for: what comes beside it ends the connection."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import ssl
import sys
import termios
import threading
from typing import Any

import pytest

from nomyo.exchange.effects import NetworkFailure, Request, Response, Timeouts
from nomyo.exchange.http import AsyncHttp
from nomyo.exchange.settings import Settings
from support.raw_server import RawServer, framed, raw_server, read_request
from support.silent import serving
from support.tls import Authority
from support.twins import Twin
from support.waiting import until

PATIENT = Timeouts(20, 20, 20)


def post(twin: Twin, http: Any, url: str) -> Response | NetworkFailure:
    outcome: Response | NetworkFailure = twin.call(http.send, Request("POST", url, {}, b"x", 100_000, PATIENT))
    return outcome


def bodies(twin: Twin, server: RawServer, times: int) -> list[bytes]:
    """Return the bodies of so many answers, asked for by one client, each when all of the answer before has come.

    What comes after the next request was sent is an answer to it, for all that a client can tell.
    """
    http = twin.client(server.url)._http
    outcomes = []
    for _ in range(times):
        outcomes.append(post(twin, http, server.url))
        until(lambda: server.answered == server.requests)
    return [outcome.body if isinstance(outcome, Response) else b"none" for outcome in outcomes]


def named(number: int) -> bytes:
    return b"answer %d" % number


SURPLUS = {
    "a whole answer": framed(b"surplus"),
    "the beginning of one": b"HTTP/1.1 200 OK\r\nContent-Le",
    "a byte": b"H",
    "an empty line": b"\r\n",
}


@pytest.mark.parametrize("what", SURPLUS)
def test_surplus_behind_an_answer_answers_nobody(twin: Twin, what: str) -> None:
    with raw_server(lambda number: framed(named(number)) + SURPLUS[what]) as server:
        assert bodies(twin, server, 3) == [named(1), named(2), named(3)]


def test_surplus_in_tls_records_of_its_own_answers_nobody(
    twin: Twin, tls_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_authority.certificate, tls_authority.key)
    padding = b"x" * 16_384  # the most that one record holds, so the surplus lies in the next
    with raw_server(lambda _: framed(padding[: -len(framed(b""))]) + framed(b"surplus"), context) as server:
        assert b"surplus" not in bodies(twin, server, 3)


@pytest.mark.parametrize("what", [*SURPLUS, "a farewell"])
def test_surplus_on_a_connection_at_rest_answers_nobody(what: str) -> None:
    surplus = SURPLUS.get(what, framed(b"", 408, b"Connection: close\r\n"))
    requests = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal requests
        with contextlib.suppress(asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\nx"):
                requests += 1
                writer.write(framed(named(requests)))
                taken.clear()
                await taken.wait()
                writer.write(surplus)
        writer.close()
        ended.set()

    async def found() -> list[Response | NetworkFailure]:
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            http = AsyncHttp(Settings(base_url=url, allow_http=True))
            outcomes = []
            for _ in range(3):
                ended.clear()
                outcomes.append(await http.send(Request("POST", url, {}, b"x", 1000, PATIENT)))
                taken.set()
                await asyncio.wait_for(ended.wait(), 5)
            await http.aclose()
            return outcomes

    taken, ended = asyncio.Event(), asyncio.Event()
    outcomes = asyncio.run(found())
    assert [each.body for each in outcomes if isinstance(each, Response)] == [named(1), named(2), named(3)]


def _has_arrived(connection: socket.socket) -> bool:
    """Return whether the other side's system has all that was sent, the end included (tcp(7), SIOCOUTQ)."""
    waiting = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
    return int.from_bytes(waiting, sys.byteorder) == 0


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("what", [*SURPLUS, "the end"])
def test_surplus_that_came_while_the_loop_was_held_up_answers_nobody(
    tls_authority: Authority, monkeypatch: pytest.MonkeyPatch, scheme: str, what: str
) -> None:
    """Nothing runs in the loop between two requests, so nothing of it has read what came meanwhile."""
    requests = 0
    taken, sent = threading.Event(), threading.Event()

    def talk(connection: socket.socket, left: threading.Event) -> None:
        nonlocal requests
        while True:
            read_request(connection, left)
            requests += 1
            connection.sendall(framed(named(requests)))
            taken.wait(5)
            taken.clear()
            if what in SURPLUS:
                connection.sendall(SURPLUS[what])
            else:
                connection.shutdown(socket.SHUT_RDWR)
            until(lambda: _has_arrived(connection))
            sent.set()

    async def found(url: str) -> list[Response | NetworkFailure]:
        http = AsyncHttp(Settings(base_url=url, allow_http=True))
        outcomes = []
        for _ in range(3):
            outcomes.append(await http.send(Request("POST", url, {}, b"x", 1000, PATIENT)))
            taken.set()
            assert sent.wait(5)  # as a program waits that holds its loop up
            sent.clear()
        await http.aclose()
        return outcomes

    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls_authority.certificate, tls_authority.key)
    with serving(talk, context if scheme == "https" else None) as port:
        outcomes = asyncio.run(found(f"{scheme}://127.0.0.1:{port}/"))
    assert [each.body for each in outcomes if isinstance(each, Response)] == [named(1), named(2), named(3)]


@pytest.mark.parametrize("status", [204, 304])
def test_body_of_an_answer_that_has_none_answers_nobody(twin: Twin, status: int) -> None:
    def answers(number: int) -> bytes:
        return framed(framed(b"surplus"), status) if number == 1 else framed(named(number))

    with raw_server(answers) as server:
        assert b"surplus" not in bodies(twin, server, 3)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 102 Processing\r\n\r\n" + framed(b"whole"),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n" + framed(b"surplus"),
        b"HTTP/1.1 200 OK\nContent-Length: 5\n\nwhole",
        b"HTTP/1.1 200 OK\nContent-Length: 9\n\n\r\n\r\nwhole" + framed(b"surplus"),
    ],
)
def test_answer_is_each_requests_own_whatever_its_form(twin: Twin, answer: bytes) -> None:
    with raw_server(lambda _: answer) as server:
        assert not any(b"surplus" in body for body in bodies(twin, server, 3))


def test_connection_is_kept_after_an_answer_without_surplus(twin: Twin) -> None:
    with raw_server(lambda number: framed(named(number) * 30_000 if number == 1 else named(number))) as server:
        http = twin.client(server.url)._http
        wanted = Request("POST", server.url, {}, b"x", 1_000_000, PATIENT)
        found = [twin.call(http.send, wanted) for _ in range(4)]
        assert [outcome.body[:8] for outcome in found] == [named(number) for number in (1, 2, 3, 4)]
        assert server.connections == 1


def test_length_beside_chunks_is_no_answer(twin: Twin) -> None:
    """Two readers of it could take two bodies from it (RFC 9112, section 6.3)."""
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"
    with raw_server(lambda _: head + b"5\r\nwhole\r\n0\r\n\r\n") as server:
        outcome = post(twin, twin.client(server.url)._http, server.url)
    assert isinstance(outcome, NetworkFailure)
    assert (outcome.connected, outcome.lasting) == (True, False)


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"chunked, gzip", b"identity", b"xchunked", b"chunked, chunked"])
def test_transfer_coding_that_nobody_asked_for_is_no_answer(twin: Twin, coding: bytes) -> None:
    """Its bytes would be taken for the answer (RFC 9112, section 6.1)."""
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: %b\r\n\r\n" % coding
    with raw_server(lambda _: head + b"5\r\nwhole\r\n0\r\n\r\n") as server:
        outcome = post(twin, twin.client(server.url)._http, server.url)
    assert isinstance(outcome, NetworkFailure)
    assert (outcome.connected, outcome.lasting) == (True, False)


def test_change_of_protocol_that_nobody_asked_for_is_no_answer(twin: Twin) -> None:
    switching = b"HTTP/1.1 101 Switching\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n"
    with raw_server(lambda _: switching) as server:
        outcome = post(twin, twin.client(server.url)._http, server.url)
    assert isinstance(outcome, NetworkFailure), outcome
    assert (outcome.connected, outcome.lasting) == (True, False)
