"""What our own part of an async exchange does: the request's head, a closed connection, one timer for all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from nomyo.exchange.effects import NetworkFailure, Request, Response, Timeouts
from nomyo.exchange.http import AsyncHttp
from nomyo.exchange.http.head import head_start, whole_head
from nomyo.exchange.settings import Settings
from support.raw_server import framed, raw_server

LONG = Timeouts(20.0, 20.0, 20.0)


def request(url: str, method: str = "GET", timeouts: Timeouts = LONG) -> Request:
    return Request(method, f"{url}x", {"X-A": "a"}, b"" if method == "GET" else b"body", 1000, timeouts)


async def outcomes(url: str, *requests: Request) -> list[Response | NetworkFailure]:
    """Return what comes of requests, one after the other."""
    http = AsyncHttp(Settings(base_url=url, allow_http=True))
    try:
        return [await http.send(each) for each in requests]
    finally:
        await http.aclose()


@asynccontextmanager
async def closing_at(*numbers: int) -> AsyncIterator[tuple[str, list[int]]]:
    """Serve, but end the connection without an answer to these requests; yield the URL and the numbers of requests."""
    seen: list[int] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                seen.append(len(seen) + 1)
                if seen[-1] in numbers:
                    break
                writer.write(framed(b"ok"))
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", seen


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_a_request_without_a_body_is_sent_once_more_if_its_connection_is_closed(method: str) -> None:
    async def ask() -> None:
        async with closing_at(2) as (url, seen):
            first, second = await outcomes(url, request(url), request(url, method))
            assert isinstance(first, Response)
            assert isinstance(second, Response if method == "GET" else NetworkFailure)
            assert len(seen) == (3 if method == "GET" else 2)

    asyncio.run(ask())


def test_request_without_a_body_is_sent_once_more_but_not_again() -> None:
    async def ask() -> None:
        async with closing_at(1, 2, 3) as (url, seen):
            (outcome,) = await outcomes(url, request(url))
            assert isinstance(outcome, NetworkFailure)
            assert len(seen) == 2

    asyncio.run(ask())


def test_connection_is_used_again() -> None:
    with raw_server(lambda _: framed(b"ok")) as server:
        asyncio.run(outcomes(server.url, *[request(server.url, method) for method in ("GET", "POST", "POST")]))
        assert (server.requests, server.connections) == (3, 1)


def test_short_timeout_holds_beside_a_long_one_that_began_before() -> None:
    """All exchanges of a loop share one timer, which must not fire for the first alone."""
    short = Timeouts(0.3, 0.3, 0.3)

    async def both(url: str) -> float:
        http = AsyncHttp(Settings(base_url=url, allow_http=True))
        patient = asyncio.create_task(http.send(request(url, "POST")))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        outcome = await http.send(request(url, "POST", short))
        taken = time.monotonic() - began
        assert isinstance(outcome, NetworkFailure)
        assert outcome.timed_out
        assert not patient.done()
        await http.aclose()
        assert isinstance(await patient, NetworkFailure)
        return taken

    with raw_server(lambda _: b"HTTP/1.1 100 Continue\r\n\r\n") as server:
        assert asyncio.run(both(server.url)) < LONG.connect_s  # type: ignore[operator]


def test_head_holds_what_all_requests_share_and_what_one_brings() -> None:
    start = head_start("POST", "/v1/x?y", "host:81", {"Proxy-Authorization": "p"})
    lines = whole_head(start, {"X-A": "a"}, 7).decode().split("\r\n")
    assert lines[:2] == ["POST /v1/x?y HTTP/1.1", "Host: host:81"]
    assert lines[-5:] == ["Proxy-Authorization: p", "X-A: a", "Content-Length: 7", "", ""]


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\x0b", "\x85"])
def test_head_takes_no_line_end_within_a_header(end: str) -> None:
    with pytest.raises(ValueError, match="line end"):
        whole_head(head_start("GET", "/", "host", {}), {"X-A": f"a{end}X-B: b"}, 0)
