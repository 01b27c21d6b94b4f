"""Addresses of routers are read without httpx where they are plain, and always as httpx reads them."""

from __future__ import annotations

import sys

import httpcore
import httpx
import pytest

from nomyo.exchange.http import sync_connections
from nomyo.exchange.http.connection_options import user_agent

HOSTS = [
    "localhost",
    "LocalHost",
    "api.nomyo.ai",
    "a_b-c.d",
    "127.0.0.1",
    "10.255.0.1",
    "xn--bcher-kva.de",
    "1a",
    "a.",
    "[::1]",
]
PORTS = ["", ":80", ":443", ":8000", ":65535", ":65536", ":080"]
PATHS = [
    "",
    "/",
    "/v1",
    "/a/b.c/~d_e-f",
    "/a//b",
    "/./a",
    "/a/../b",
    "/a/..",
    "/.a",
    "/..a/b",
    "/a%20b",
    "/a;b",
    "/a:b@c",
]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_address_is_read_as_httpx_reads_it(scheme: str) -> None:
    plain = 0
    for address in [f"{scheme}://{host}{port}{path}" for host in HOSTS for port in PORTS for path in PATHS]:
        try:
            theirs = httpx.URL(address)
        except httpx.InvalidURL:
            with pytest.raises(httpx.InvalidURL):
                sync_connections._parsed(address)
            continue
        ours = sync_connections._parsed(address)
        host = b"[%b]" % theirs.raw_host if b":" in theirs.raw_host else theirs.raw_host
        assert bytes(ours.whole) == bytes(
            httpcore.URL(scheme=theirs.raw_scheme, host=host, port=theirs.port, target=theirs.raw_path)
        ), address
        assert ours.host_header == theirs.netloc.decode(), address
        plain += sync_connections._PLAIN.fullmatch(address) is not None
    assert plain > 100


def test_user_agent_is_that_of_httpx() -> None:
    assert user_agent() == httpx.Client().headers["User-Agent"]
    user_agent.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(sys.modules, "httpx")
        assert user_agent() == httpx.Client().headers["User-Agent"]
