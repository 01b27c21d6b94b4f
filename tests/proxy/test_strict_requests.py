"""A request that two servers could read differently is refused and its connection ends: nothing hides behind it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nomyo.serve.bounds import Bounds
from nomyo.serve.listener import Listener
from nomyo.serve.router import RouterConfig, RunningRouter
from support.raw_client import Held, connect, hold

HEAD = "GET /pki/public_key HTTP/1.1\r\nHost: a\r\n"
POST = "POST /pki/public_key HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + "Transfer-Encoding: chunked\r\n\r\n"
# Stands behind each request: whoever is not hung up on gets an answer to it, too.
SMUGGLED = HEAD + "\r\n"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with RunningRouter(RouterConfig(key_bits=2048, listener=Listener(bounds=Bounds(linger_s=0.5)))) as router:
        yield router.url


def answers(url: str, sent: str) -> Held:
    with connect(url) as connection:
        connection.sendall(sent.encode("latin-1"))
        return hold(connection, longest_s=60)


@pytest.mark.parametrize(
    "sent",
    [
        POST + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        POST + "transfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n",
        POST.replace("1.1", "1.0") + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        POST + "Content-Length: +5\r\n\r\nhello",
        POST + "Content-Length: 5\r\n , 6\r\n\r\nhello",
        POST + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        POST + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
        HEAD + "X-Folded: a\r\n b\r\n\r\n",
        HEAD + "X-Folded: a\r\n\tb\r\n\r\n",
        HEAD.replace("\r\n", "\n") + "\n",
        HEAD + "X-Bare: a\nX-Other: b\r\n\r\n",
        HEAD + "X-Bare: a\n\r\n",
        HEAD + "\n",
        HEAD.replace("\r\n", "\n", 1) + "\r\n",
        HEAD + "X-Bare: a\rX-Other: b\r\n\r\n",
        "\n" + HEAD + "\r\n",
        HEAD + "Host: b\r\n\r\n",
        HEAD + "X-Long: " + "a" * 70_000 + "\r\n\r\n",
    ],
)
def test_request_that_can_be_read_in_two_ways_is_refused_and_the_connection_ends(url: str, sent: str) -> None:
    held = answers(url, sent + SMUGGLED)
    assert held.statuses == [400]
    assert b"connection: close" in held.received.lower()
    assert held.seconds is not None


@pytest.mark.parametrize(
    "body",
    [
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "0\r\n\n",
        "0\r\nX-Bare: a\n\r\n",
        "0\r\nX-Folded: a\r\n b\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "00000000000000000000005\r\nhello\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_can_be_read_in_two_ways_end_the_connection(url: str, body: str) -> None:
    held = answers(url, CHUNKED + body + SMUGGLED)
    assert held.statuses in ([400], [405])  # 405: the answer was on its way already
    assert b"connection: close" in held.received.lower()
    assert held.seconds is not None


def test_what_can_be_read_in_one_way_is_served_on_one_connection(url: str) -> None:
    trailers = CHUNKED + "5;why=not\r\nhello\r\n0\r\nX-Trailer: a\r\n\r\n"
    last = HEAD + "Connection: close\r\n\r\n"
    lengths = POST + "Content-Length: 5\r\n\r\nhello"
    assert answers(url, trailers + lengths + HEAD + "X-Empty:\r\n\r\n" + last).statuses == [405, 405, 200, 200]
