"""Strangers cannot fill the log: of each kind of line there are a few a minute, and then their number."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from pathlib import Path

import httpx
import pytest

from nomyo import SyncSecureChatCompletion
from nomyo.serve.log import REFUSALS_LOGGED, BoundedLog
from nomyo.serve.router.running import RunningRouter
from support.proxied import TOKEN, chat, proxy_process, said_by
from support.raw_client import connect
from support.router_process import router_process
from support.tls import Authority

MANY = 150
HEAD = "GET / HTTP/1.1\r\nHost: a\r\n"
FOREIGN = {
    "no HTTP": b"\x16\x03\x01\x02\r\n\r\n",
    "a folded line": f"{HEAD}X: a\r\n b\r\n\r\n".encode(),
    "a WebSocket": f"{HEAD}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n".encode(),
    "no such path": b"GET /canary-path HTTP/1.1\r\nHost: a\r\n\r\n",
    "no such method": b"PURGE / HTTP/1.1\r\nHost: a\r\n\r\n",
    "no token": b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "no API key": b"POST /v1/chat/secure_completion HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    "gone at once": b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
}


def annoy(url: str) -> None:
    for sent in FOREIGN.values():
        for number in range(MANY):
            with connect(url) as connection:
                connection.sendall(sent)
                if number % 2 and url.startswith("http:"):  # others go without waiting for the answer
                    connection.recv(4096)


def kinds_of(log: str) -> Counter[str]:
    """Count a log's lines by their words, without time and figures."""
    return Counter(" ".join(word for word in line.split()[2:] if word.isalpha()) for line in log.splitlines())


@pytest.mark.parametrize("tls", [False, True])
def test_proxys_log_stays_short(
    router: RunningRouter, key_directory: Path, tls_authority: Authority, tls: bool
) -> None:
    files = [f"--tls-cert={tls_authority.certificate}", f"--tls-key={tls_authority.key}"] if tls else []
    with proxy_process(router.url, key_directory, *files) as proxy:
        annoy(proxy.url)  # over TLS, none of it is a handshake
        assert proxy.stop() == 0
    assert "Traceback" not in proxy.stderr
    assert "canary" not in proxy.stderr
    assert max(kinds_of(proxy.stderr).values()) <= REFUSALS_LOGGED
    assert len(proxy.stderr.splitlines()) < 4 * REFUSALS_LOGGED
    assert tls or "more like this one: refused:" in proxy.stderr


def test_routers_log_stays_short() -> None:
    with router_process("--api-key", TOKEN) as (process, url):
        annoy(url)
        process.terminate()
        log = process.communicate(timeout=60)[1]
    assert "Traceback" not in log
    assert "canary" not in log
    assert max(kinds_of(log).values()) <= REFUSALS_LOGGED
    assert len(log.splitlines()) < 4 * REFUSALS_LOGGED
    assert "more like this one: Invalid HTTP request received." in log
    assert "more like this one: refused:" in log


def test_what_anybody_may_ask_for_leaves_as_few_lines(router: RunningRouter, key_directory: Path) -> None:
    with proxy_process(router.url, key_directory) as proxy:
        with httpx.Client(trust_env=False) as stranger:
            for number in range(MANY):
                assert stranger.get(proxy.url + ("/", "/healthz")[number % 2]).status_code == 200
        assert said_by(proxy.post(chat("hello"))) == "hello"
        assert proxy.stop() == 0
    lines = [line for line in proxy.stderr.splitlines() if " 200 in=0 " in line and " GET " in line]
    assert len(lines) == REFUSALS_LOGGED + 1
    assert f" {MANY - REFUSALS_LOGGED} more like this one: GET " in lines[-1]
    assert proxy.stderr.count("POST /v1/chat/completions 200") == 1


def test_routers_key_leaves_as_few_lines() -> None:
    with router_process("--api-key", TOKEN) as (process, url):
        with httpx.Client(trust_env=False) as stranger:
            for _ in range(MANY):
                assert stranger.get(f"{url}/pki/public_key").status_code == 200
        process.terminate()
        log = process.communicate(timeout=60)[1]
    lines = log.splitlines()
    assert sum("GET /pki/public_key 200" in line for line in lines) == REFUSALS_LOGGED + 1
    assert f" {MANY - REFUSALS_LOGGED} more like this one: GET /pki/public_key 200" in lines[-1]


def test_requests_with_a_key_that_are_served_have_a_line_each(key_directory: Path) -> None:
    count = 2 * REFUSALS_LOGGED
    with router_process("--api-key", TOKEN) as (process, url):
        with SyncSecureChatCompletion(url, api_key=TOKEN, allow_http=True, key_dir=key_directory) as client:
            for _ in range(count):
                client.create(**chat("hello"))
        process.terminate()
        assert process.communicate(timeout=60)[1].count("POST /v1/chat/secure_completion 200") == count


def test_line_of_a_thread_without_an_event_loop_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    log = BoundedLog(logging.getLogger("nomyo.test"))
    for _ in range(2):
        log.warning("refused: %d", 1)
    assert caplog.messages == ["refused: 1"] * 2


def test_lines_beyond_the_first_are_counted_and_told_when_their_time_is_over(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        log = BoundedLog(logging.getLogger("nomyo.test"), lines=2, span_s=0.2)
        for number in range(50):
            log.warning("refused: %d", number)
            log.warning("of another kind")
        assert len(caplog.messages) == 4
        await asyncio.sleep(0.3)
        log.warning("refused: %d", 50)  # it goes on: counted, too
        await asyncio.sleep(0.6)
        log.warning("refused: %d", 51)

    asyncio.run(main())
    assert caplog.messages == [
        "refused: 0",
        "of another kind",
        "refused: 1",
        "of another kind",
        "48 more like this one: refused: 49",
        "48 more like this one: of another kind",
        "1 more like this one: refused: 50",
        "refused: 51",
    ]
