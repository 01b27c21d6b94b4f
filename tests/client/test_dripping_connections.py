"""A connection that comes about drop by drop ends within the time for connecting, however long answers may take."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo.exchange import settings
from nomyo.serve.router.running import RunningRouter
from support.drips import LATEST_S, Drip, dripping
from support.silent import slow_reader
from support.twins import Twin

CONNECT_S = 0.4
PATIENCE_S = 60.0
TUNNELS = {
    "status line": Drip(b"HTTP/1.1 200 ", b"x"),
    "header": Drip(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "headers": Drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "100": Drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "header of 102": Drip(b"HTTP/1.1 102 Processing\r\nX-Long: ", b"x"),
}


@pytest.fixture
def options(key_directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(settings, "LONGEST_CONNECT_S", CONNECT_S)
    return {"key_dir": key_directory, "timeout": PATIENCE_S, "max_retries": 0}


def check_not_connected(twin: Twin, url: str, options: dict[str, Any]) -> None:
    client = twin.client(url, **options)
    began_s = time.monotonic()
    with pytest.raises(nomyo.APIConnectionError) as raised:
        twin.call(client.fetch_server_public_key)
    assert time.monotonic() - began_s < LATEST_S
    assert raised.value.timed_out, raised.value
    assert f"timed out: no connection within {CONNECT_S} s" in str(raised.value)


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_drip_of_a_proxy_ends_with_the_time_for_connecting(
    twin: Twin, tunnel: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with dripping(TUNNELS[tunnel]) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        check_not_connected(twin, "https://127.0.0.2", options)


def test_drip_of_a_handshake_ends_with_the_time_for_connecting(twin: Twin, options: dict[str, Any]) -> None:
    with dripping(Drip(b"\x16\x03\x03\x40\x00", b"\0"), after=b"\x16") as port:
        check_not_connected(twin, f"https://127.0.0.1:{port}", options)


def test_request_that_is_taken_drop_by_drop_ends_with_the_timeout(
    twin: Twin, router: RunningRouter, key_directory: Path
) -> None:
    """Each 64 KiB of it have the time of one wait."""
    large = [{"role": "user", "content": "a" * 3_000_000}]
    with slow_reader(router.url, pause_s=0.05, piece_bytes=1024) as scene:
        chat = twin.chat(scene.url, key_dir=key_directory, timeout=2.4, max_retries=0)
        began_s = time.monotonic()
        with pytest.raises(nomyo.APIConnectionError, match=r"the request was not taken within 2\.4 s"):
            twin.call(chat.create, model="m", messages=large)
        assert time.monotonic() - began_s < 30
