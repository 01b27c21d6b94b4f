"""Which `Host`, `Origin` and request target the proxy takes: those of this machine in their one form, byte for byte."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nomyo.serve.listener import Listener
from nomyo.serve.proxy.config import ProxyConfig
from nomyo.serve.router.running import RunningRouter
from support.proxied import TOKEN, Proxy, proxy_process

OURS = ["127.0.0.1:PORT", "localhost:PORT", "LocalHost:PORT", "[::1]:PORT", "box.lan", "BOX.lan:1", "box.lan:65535"]
FOREIGN = {
    "words behind brackets": b"[::1]evil:PORT",
    "words behind brackets and a dot": b"[::1].evil.example:PORT",
    "words before brackets": b"evil[::1]:PORT",
    "leading zero": b"localhost:0PORT",
    "leading zeros": b"127.0.0.1:000PORT",
    "sign": b"localhost:+PORT",
    "space before the port": b"localhost: PORT",
    "underscore in the port": b"localhost:4_5",
    "six digits": b"box.lan:100000",
    "a port that there is not": b"box.lan:65536",
    "empty port": b"localhost:",
    "empty port of an allowed name": b"box.lan:",
    "two ports": b"localhost:PORT:PORT",
    "port in hexadecimal": b"localhost:0xb0",
    "digits of another script": "localhost:\u00b2PORT".encode("latin-1"),
    "user": b"user@localhost:PORT",
    "empty user": b"@localhost:PORT",
    "user and password": b"a:b@127.0.0.1:PORT",
    "path": b"localhost:PORT/x",
    "query": b"localhost:PORT?x",
    "fragment": b"localhost:PORT#x",
    "backslash": b"localhost:PORT\\x",
    "scheme": b"http://localhost:PORT",
    "two slashes": b"//localhost:PORT",
    "trailing dot": b"localhost.:PORT",
    "leading dot": b".localhost:PORT",
    "space within": b"local host:PORT",
    "tab within": b"local\thost:PORT",
    "list": b"localhost:PORT, evil.example",
    "percent-encoding": b"%6cocalhost:PORT",
    "percent-encoded dot": b"127%2e0.0.1:PORT",
    "zone": b"[::1%lo]:PORT",
    "encoded zone": b"[::1%25lo]:PORT",
    "mapped IPv4": b"[::ffff:127.0.0.1]:PORT",
    "mapped IPv4 in hexadecimal": b"[::ffff:7f00:1]:PORT",
    "long form of ::1": b"[0:0:0:0:0:0:0:1]:PORT",
    "IPv6 without brackets": b"::1:PORT",
    "IPv4 in brackets": b"[127.0.0.1]:PORT",
    "name in brackets": b"[localhost]:PORT",
    "IPvFuture": b"[v1.x]:PORT",
    "open bracket": b"[::1:PORT",
    "close bracket": b"::1]:PORT",
    "two brackets": b"[[::1]]:PORT",
    "decimal IPv4": b"2130706433:PORT",
    "hexadecimal IPv4": b"0x7f000001:PORT",
    "octal IPv4": b"0177.0.0.1:PORT",
    "short IPv4": b"127.1:PORT",
    "IPv4 with zeros": b"127.000.000.001:PORT",
    "another address of loopback": b"127.0.0.2:PORT",
    "any address": b"0.0.0.0:PORT",
    "empty": b"",
    "port alone": b":PORT",
    "not ASCII": b"localhost\xa0:PORT",
    "dotless i": "box.lan\u00ed".encode("latin-1"),
    "name below an allowed one": b"evil.box.lan",
    "name above an allowed one": b"lan",
}


@pytest.fixture(scope="module")
def proxy(router: RunningRouter, key_directory: Path) -> Iterator[Proxy]:
    with proxy_process(router.url, key_directory, "--allow-host", "box.lan") as proxy:
        yield proxy


def answer_to(proxy: Proxy, *headers: bytes, target: bytes = b"/v1/models", version: bytes = b"1.1") -> bytes:
    """Return the first line of what the proxy answers to a request of these bytes; PORT in them is its port."""
    token = b"Authorization: Bearer " + TOKEN.encode()
    head = [b"GET %b HTTP/%b" % (target, version), token, b"Connection: close", *headers]
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=60) as connection:
        connection.sendall(b"\r\n".join([*head, b"", b""]).replace(b"PORT", str(proxy.port).encode()))
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received.partition(b"\r\n")[0]


@pytest.mark.parametrize("host", OURS)
def test_name_of_this_machine_is_answered(proxy: Proxy, host: str) -> None:
    assert answer_to(proxy, b"Host: " + host.encode()) == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize("what", FOREIGN)
def test_whatever_else_stands_in_host_is_refused(proxy: Proxy, what: str) -> None:
    answer = answer_to(proxy, b"Host: " + FOREIGN[what])
    # What is no header at all (RFC 9110, section 5.5) is refused before its name is looked at.
    assert answer.split()[1] in (b"400", b"421"), answer


@pytest.mark.parametrize("what", ["words behind brackets", "leading zero", "trailing dot", "empty port", "zone"])
def test_host_of_that_kind_is_misdirected(proxy: Proxy, what: str) -> None:
    assert answer_to(proxy, b"Host: " + FOREIGN[what]).split()[1] == b"421"


@pytest.mark.parametrize("second", [b"localhost:PORT", b"evil.example"])
def test_two_hosts_are_refused(proxy: Proxy, second: bytes) -> None:
    for version in (b"1.1", b"1.0"):
        answer = answer_to(proxy, b"Host: localhost:PORT", b"Host: " + second, version=version)
        assert answer.split()[1] in (b"400", b"421"), answer


@pytest.mark.parametrize(
    "target",
    [
        b"http://localhost:PORT/v1/models",
        b"http://evil.example/v1/models",
        b"http://evil.example/healthz",
        b"//evil.example/healthz",
        b"evil.example:80",
        b"*",
        b"healthz",
    ],
)
def test_target_that_is_no_path_is_refused(proxy: Proxy, target: bytes) -> None:
    """A target with a name of its own would make `Host` count for nothing (RFC 9112, section 3.2.2)."""
    answer = answer_to(proxy, b"Host: localhost:PORT", target=target)
    assert answer.split()[1] in (b"400", b"404"), answer


@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"",
        b"http://localhost:PORT/",
        b"http://localhost:0PORT",
        b"http://localhost",
        b"http://user@localhost:PORT",
        b"http://localhost.:PORT",
        b"http://[::1]evil:PORT",
        b"http://127.0.0.1:PORT",
        b"https://localhost:PORT",
        b"http:localhost:PORT",
        b"localhost:PORT",
        b"http://localhost:PORT http://evil.example",
        b"http://localhost:PORT, http://evil.example",
    ],
)
def test_origin_that_is_not_that_of_its_own_page_is_refused(proxy: Proxy, origin: bytes) -> None:
    for headers in ([origin], [b"http://localhost:PORT", origin], [origin, b"http://localhost:PORT"]):
        named = [b"Origin: " + value for value in headers]
        assert answer_to(proxy, b"Host: localhost:PORT", *named).split()[1] == b"403"


def test_origin_of_its_own_page_is_answered(proxy: Proxy) -> None:
    answer = answer_to(proxy, b"Host: localhost:PORT", b"Origin: http://localhost:PORT")
    assert answer == b"HTTP/1.1 200 OK"


@pytest.mark.parametrize(
    "host", ["box.lan:080", "box.lan:", "[::1]x", "[box.lan]", "box.lan:65536", "[::1%lo]", "b\u00f6x.lan", "a@b", ""]
)
def test_allowed_host_that_no_request_could_name_is_refused_at_the_start(host: str) -> None:
    with pytest.raises(ValueError, match="allowed host"):
        ProxyConfig("t" * 16, Listener(), allowed_hosts=frozenset({host}))
