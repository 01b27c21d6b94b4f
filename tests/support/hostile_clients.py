"""Clients that mean harm, many at once: they hold connections, send nothing, too slowly, too much, or what is no HTTP.

`python tests/support/hostile_clients.py SECONDS MEMBERS PORT...` sends so many to each port of 127.0.0.1, and prints
one line of JSON when it is over: how often each kind came. None has a token. No more than `OPENED_PER_S` connections
a second are opened to a port.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import resource
import socket
import struct
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

OPENED_PER_S: Final = 100
HELD_S: Final = (10.0, 120.0)
"""How long a member stays where nobody hangs up on it."""
PAUSE_S: Final = 1.0
DRIP_S: Final = 0.5
_RECEIVE_BUFFER_BYTES: Final = 4096
_CHAT: Final = b"/v1/chat/completions"
_SEALED: Final = b"/v1/chat/secure_completion"


class Line:
    """A connection of a member's.

    Args:
        connection: Connected, and not blocking.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self.port = connection.getpeername()[1]

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._connection, data)

    async def receive(self) -> bytes:
        """Return what comes next; nothing at the end."""
        return await self._loop.sock_recv(self._connection, 65536)

    async def until_closed(self) -> None:
        while await self.receive():
            pass

    async def drip(self, data: bytes) -> None:
        """Send a piece over and over, slowly, until nobody takes it."""
        while True:
            await asyncio.sleep(DRIP_S)
            await self.send(data)

    def half_close(self) -> None:
        self._connection.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Have the end of this connection be a RST."""
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def head(self, method: bytes, path: bytes, *fields: bytes, host: bytes | None = None) -> bytes:
        """Return the beginning of a request, without the empty line."""
        named = b"127.0.0.1:%d" % self.port if host is None else host
        return b"\r\n".join([b"%b %b HTTP/1.1" % (method, path), b"Host: " + named, *fields, b""])


async def idle(line: Line) -> None:
    await line.until_closed()


async def kept_alive(line: Line) -> None:
    await line.send(line.head(b"GET", b"/healthz") + b"\r\n")
    await line.until_closed()


async def slow_head(line: Line) -> None:
    await line.send(line.head(b"POST", _CHAT) + b"X-Slow: ")
    await line.drip(b"a")


async def slow_lines(line: Line) -> None:
    await line.send(line.head(b"GET", b"/healthz"))
    for number in itertools.count():
        await asyncio.sleep(DRIP_S)
        await line.send(b"X-%d: a\r\n" % number)


def held_after(path: bytes, host: bytes | None = None) -> Callable[[Line], Awaitable[None]]:
    """Return a client that sends a body which does not end, and goes on after the answer."""

    async def held(line: Line) -> None:
        await line.send(line.head(b"POST", path, b"Content-Length: 1000000", host=host) + b"\r\na")
        await line.receive()
        await line.drip(b"a")

    return held


async def dripping_chunks(line: Line) -> None:
    await line.send(line.head(b"POST", _SEALED, b"Transfer-Encoding: chunked") + b"\r\n")
    await line.drip(b"1\r\na\r\n")


async def dripping_extension(line: Line) -> None:
    await line.send(line.head(b"POST", _CHAT, b"Transfer-Encoding: chunked") + b"\r\n1;")
    await line.drip(b"a")


async def without_token(line: Line) -> None:
    body = b'{"model": "m", "messages": []}'
    for path in itertools.islice(itertools.cycle([_CHAT, _SEALED]), 20):
        length = b"Content-Length: %d" % len(body)
        await line.send(line.head(b"POST", path, length, b"Content-Type: application/json") + b"\r\n" + body)
        if not await line.receive():
            return
        await asyncio.sleep(DRIP_S)


async def with_a_wrong_token(line: Line) -> None:
    await line.send(line.head(b"POST", _CHAT, b"Authorization: Bearer guess", b"Content-Length: 5000000") + b"\r\n")
    with suppress(OSError):
        for _ in range(80):
            await line.send(bytes(65536))
    await line.until_closed()


_MALFORMED: Final = (
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    b"GET / HTTP/9.9\r\n\r\n",
    b"\r\n\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET / HTTP/1.1\nHost: a\n\n",
    b"GET / HTTP/1.1\r\nHost: a\r\n folded: a\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET \x00\x1b[2J HTTP/1.1\r\nX\x1b: a\r\n\r\n",
    bytes(range(256)) * 16,
)


async def malformed(line: Line) -> None:
    await line.send(random.choice(_MALFORMED))
    await line.until_closed()


async def big_head(line: Line) -> None:
    with suppress(OSError):
        await line.send(line.head(b"GET", b"/", *(b"X-%d: " % number + b"a" * 4000 for number in range(100))))
    await line.until_closed()


async def half_closed(line: Line) -> None:
    await line.send(line.head(b"POST", _CHAT, b"Content-Length: 100") + b"\r\na")
    line.half_close()
    await line.until_closed()


async def half_closed_at_once(line: Line) -> None:
    line.half_close()
    await line.until_closed()


async def never_reads(line: Line) -> None:
    for path in itertools.islice(itertools.cycle([b"/", b"/page.js", b"/healthz"]), 200):
        await line.send(line.head(b"GET", path) + b"\r\n")
    await asyncio.sleep(HELD_S[1])


async def resets(line: Line) -> None:
    await line.send(line.head(b"POST", _CHAT, b"Content-Length: 100") + b"\r\na")
    line.reset()


KINDS: dict[str, Callable[[Line], Awaitable[None]]] = {
    "idle": idle,
    "kept alive": kept_alive,
    "slow head": slow_head,
    "slow lines": slow_lines,
    "held after 401": held_after(_CHAT),
    "held after 401 of the router": held_after(_SEALED),
    "held after 404": held_after(b"/nothing"),
    "held after 421": held_after(_CHAT, b"evil.example"),
    "held after 200": held_after(b"/healthz"),
    "dripping chunks": dripping_chunks,
    "dripping extension": dripping_extension,
    "without token": without_token,
    "with a wrong token": with_a_wrong_token,
    "malformed": malformed,
    "big head": big_head,
    "half closed": half_closed,
    "half closed at once": half_closed_at_once,
    "never reads": never_reads,
    "resets": resets,
}


class Crowd:
    """Members that come to one port again and again, each time as another kind."""

    def __init__(self, port: int, members: int) -> None:
        self._port = port
        self._members = members
        self._kinds = itertools.cycle(KINDS)
        self._door = asyncio.Lock()
        self.came: Counter[str] = Counter()
        self.hung_up: Counter[str] = Counter()
        """Who was let go before it went by itself."""

    async def run(self, seconds: float) -> None:
        """Come and go for so long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(self._member() for _ in range(self._members)))

    async def _member(self) -> None:
        while True:
            async with self._door:
                await asyncio.sleep(1 / OPENED_PER_S)
            kind = next(self._kinds)
            self.came[kind] += 1
            ended = await self._visit(KINDS[kind])
            self.hung_up[kind] += ended
            await asyncio.sleep(PAUSE_S)

    async def _visit(self, behave: Callable[[Line], Awaitable[None]]) -> bool:
        """Connect and behave; return whether the server ended it."""
        with socket.socket() as connection:
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
            try:
                async with asyncio.timeout(random.uniform(*HELD_S)):
                    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", self._port))
                    await behave(Line(connection))
            except TimeoutError:
                return False
            except OSError:
                pass
        return True


async def visit(seconds: float, members: int, ports: list[int]) -> dict[str, Any]:
    """Send crowds to ports; return what was counted."""
    crowds = [Crowd(port, members) for port in ports]
    await asyncio.gather(*(crowd.run(seconds) for crowd in crowds))
    came, hung_up = Counter[str](), Counter[str]()
    for crowd in crowds:
        came.update(crowd.came)
        hung_up.update(crowd.hung_up)
    return {"came": came, "hung_up_on": hung_up}


def _raise_limit(descriptors: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(descriptors, hard), hard))


if __name__ == "__main__":
    random.seed(1)
    length_s, count, *addresses = sys.argv[1:]
    _raise_limit(int(count) * len(addresses) + 100)
    print(json.dumps(asyncio.run(visit(float(length_s), int(count), list(map(int, addresses))))))
