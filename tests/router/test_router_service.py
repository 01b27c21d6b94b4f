"""The router as a service: its keys over time, who may ask and how often, what it logs, TLS, settings."""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import socket
import ssl
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from nomyo._core import seal
from nomyo.errors import SecurityError
from nomyo.serve.listener import Listener
from nomyo.serve.router import RateLimit, Router, RouterConfig, RunningRouter
from nomyo.serve.router.keys import MAX_RETIRING, KeyRing
from nomyo.serve.router.limits import RateLimiter
from support.peer import seal_for
from support.router_peer import (
    COMPLETION_PATH,
    KEY_PATH,
    ask,
    chat,
    detail_of,
    headers,
    open_sealed,
    pem_of,
    post,
    reply_of,
    request,
    router_pem,
    send,
)
from support.waiting import until

SMALL: dict[str, Any] = {"key_bits": 2048}


# Keys


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_key_before_is_accepted_during_its_grace_and_not_after() -> None:
    clock = Clock()
    config = RouterConfig(key_rotation_grace_s=60, **SMALL)
    with RunningRouter(router=Router(config, clock=clock)) as router:
        old = router_pem(router.url)
        router.rotate()
        new = router_pem(router.url)
        assert new != old
        clock.now += 59.9
        assert send(router.url, chat(), pem=old).status_code == 200
        clock.now += 0.1
        refused = send(router.url, chat(), pem=old)
        assert (refused.status_code, detail_of(refused)) == (400, "Failed to decrypt the request")
        assert send(router.url, chat(), pem=new).status_code == 200


def test_without_grace_the_key_before_is_refused_at_once() -> None:
    with RunningRouter(RouterConfig(key_rotation_grace_s=0, **SMALL)) as router:
        old = router_pem(router.url)
        router.rotate()
        assert send(router.url, chat(), pem=old).status_code == 400
        assert send(router.url, chat()).status_code == 200


def test_several_keys_are_accepted_during_their_grace_and_never_more_than_the_bound() -> None:
    now = 0.0
    ring = KeyRing(2048, interval_s=0, grace_s=60, clock=lambda: now)
    keys = [ring.current]
    for _ in range(MAX_RETIRING + 1):
        ring.rotate()
        keys.append(ring.current)
    packages = [seal({"n": number}, key.public_key) for number, key in enumerate(keys)]

    for number in range(1, len(keys)):
        assert ring.open(packages[number]) == {"n": number}
    with pytest.raises(SecurityError):
        ring.open(packages[0])
    now = 61.0
    assert ring.open(packages[-1]) == {"n": len(keys) - 1}
    with pytest.raises(SecurityError):
        ring.open(packages[-2])
    ring.close()
    assert all(key.wiped for key in keys)


def test_package_for_another_router_is_refused() -> None:
    with RunningRouter(RouterConfig(**SMALL)) as router:
        assert send(router.url, chat(), pem=pem_of(rsa.generate_private_key(65537, 2048))).status_code == 400


def test_key_rotates_by_itself() -> None:
    with RunningRouter(RouterConfig(key_rotation_interval_s=0.1, **SMALL)) as router:
        first = router_pem(router.url)
        deadline = time.monotonic() + 20
        while router_pem(router.url) == first:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert reply_of(ask(router.url, chat("after"))) == "after"


def test_stopped_router_has_wiped_its_key() -> None:
    with RunningRouter(RouterConfig(**SMALL)) as router:
        keys = router.router.keys
        previous = keys._current
        router.rotate()
    assert keys._current.wiped
    assert previous.wiped


# Who may ask, and how often


def test_api_keys_are_checked() -> None:
    with RunningRouter(RouterConfig(api_keys=frozenset({"alpha", "beta"}), **SMALL)) as router:
        for good in ("Bearer alpha", "Bearer beta", "bearer beta"):
            assert send(router.url, chat(), authorization=good).status_code == 200
        for bad in (None, "Bearer gamma", "Bearer alph", "Bearer alphaa", "Basic alpha", "alpha"):
            response = send(router.url, chat(), authorization=bad)
            assert response.status_code == 401
            assert detail_of(response) == "Invalid or missing API key"
            assert response.headers["www-authenticate"] == "Bearer"


def test_key_is_checked_before_anything_else() -> None:
    with RunningRouter(RouterConfig(api_keys=frozenset({"alpha"}), **SMALL)) as router:
        assert post(router.url, b"nonsense", x_payload_id=None).status_code == 401


def test_model_that_a_tier_does_not_allow_is_403() -> None:
    config = RouterConfig(tier_models={"maximum": frozenset({"safe"})}, **SMALL)
    with RunningRouter(config) as router:
        allowed = {**chat(), "model": "safe"}
        assert send(router.url, allowed, x_security_tier="maximum").status_code == 200
        assert send(router.url, chat(), x_security_tier="high").status_code == 200
        response = send(router.url, chat(), x_security_tier="maximum")
        assert response.status_code == 403
        assert detail_of(response) == "Model not allowed for the requested security tier"


def test_rate_limit_allows_a_burst_once_per_window() -> None:
    clock = Clock()
    config = RouterConfig(rate_limit=RateLimit(2, 4, 10.0), **SMALL)
    with RunningRouter(router=Router(config, clock=clock)) as router:

        def statuses(count: int, key: str) -> list[int]:
            return [post(router.url, b"{}", authorization=f"Bearer {key}").status_code for _ in range(count)]

        assert statuses(5, "one") == [400, 400, 400, 400, 429]
        assert statuses(3, "two") == [400, 400, 400]
        clock.now += 1.0
        assert statuses(3, "one") == [400, 400, 429]
        clock.now += 8.9
        assert statuses(3, "one") == [400, 400, 429]
        clock.now += 1.1
        assert statuses(5, "one") == [400, 400, 400, 400, 429]
        response = post(router.url, b"{}", authorization="Bearer one")
        assert (response.headers["retry-after"], detail_of(response)) == ("1", "Rate limit exceeded")


def test_rate_limit_goes_by_address_where_no_key_came() -> None:
    config = RouterConfig(rate_limit=RateLimit(1, 1, 1.0), **SMALL)
    with RunningRouter(router=Router(config, clock=Clock())) as router:
        assert [post(router.url, b"{}").status_code for _ in range(2)] == [400, 429]
        assert post(router.url, b"{}", x_forwarded_for="192.0.2.1").status_code == 429  # anybody can write that


def test_rate_limit_remembers_the_callers_seen_last() -> None:
    limiter = RateLimiter(RateLimit(1, 1, 1.0), Clock())
    assert limiter.wait_s(b"first") == 0
    assert limiter.wait_s(b"first") > 0
    for number in range(4096):
        limiter.wait_s(str(number).encode())
    assert limiter.wait_s(b"4095") > 0
    assert limiter.wait_s(b"first") == 0


# Logs, TLS, state


def test_log_has_sizes_and_statuses_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    config = RouterConfig(api_keys=frozenset({"the-token"}), **SMALL)
    with RunningRouter(config) as router:
        token = "Bearer the-token"
        response = send(router.url, chat("the-prompt"), authorization=token)
        send(router.url, chat("the-prompt"), authorization="Bearer wrong-token")
        send(router.url, {**chat("the-prompt"), "n": 0}, authorization=token)
        request("GET", router.url + "/the-path?the-query")
    own = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith(("nomyo", "uvicorn")))
    assert re.search(rf"POST {COMPLETION_PATH} 200 in=\d+ out={len(response.content)} [\d.]+ms", own)
    assert f"POST {COMPLETION_PATH} 401" in own
    assert "GET - 404" in own
    for secret in ("the-prompt", "the-token", "wrong-token", "the-path", "the-query", "BEGIN", "MII"):
        assert secret not in own


def test_unforeseen_error_is_500_and_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        async def complete(self, request: Any) -> dict[str, Any]:
            raise RuntimeError(f"cannot answer {request}")

        async def aclose(self) -> None:
            pass

    router = Router(RouterConfig(**SMALL))
    router._model = Broken()
    with RunningRouter(router=router) as running:
        response = send(running.url, chat("the-prompt"))
    assert response.status_code == 500
    assert detail_of(response) == "Internal Server Error"
    assert "unforeseen RuntimeError at" in caplog.text
    assert "the-prompt" not in caplog.text


def test_rotation_that_fails_leaves_the_key_in_use(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = Router(RouterConfig(key_rotation_interval_s=0.05, **SMALL))

    def fail() -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(router, "rotate", fail)
    with RunningRouter(router=router) as running:
        first = router_pem(running.url)
        deadline = time.monotonic() + 20
        while "could not be rotated: MemoryError" not in caplog.text:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert router_pem(running.url) == first
        assert reply_of(ask(running.url, chat("still here"))) == "still here"


def test_router_without_protected_memory_for_a_request_is_503() -> None:
    class Full:
        async def complete(self, request: Any) -> dict[str, Any]:
            raise MemoryError

        async def aclose(self) -> None:
            pass

    router = Router(RouterConfig(**SMALL))
    router._model = Full()
    with RunningRouter(router=router) as running:
        response = send(running.url, chat())
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")


def test_client_that_hangs_up_does_no_harm() -> None:
    with RunningRouter(RouterConfig(**SMALL)) as router:
        address = urlsplit(router.url)
        with socket.create_connection((address.hostname, address.port), timeout=10) as wire:
            lines = [f"POST {COMPLETION_PATH} HTTP/1.1", "Host: x", "Content-Length: 1000"]
            lines += [f"{name}: {value}" for name, value in headers().items()]
            wire.sendall("\r\n".join([*lines, "", "x"]).encode())
        assert reply_of(ask(router.url, chat("next"))) == "next"


def test_answer_that_cannot_be_sealed_is_422() -> None:
    with RunningRouter(RouterConfig(max_response_bytes=2000, **SMALL)) as router:
        response = send(router.url, chat("x" * 2000))
        assert (response.status_code, detail_of(response)) == (422, "The model's answer cannot be sent")


def test_router_speaks_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    certificate.private_key_pem.write_to_path(tmp_path / "key.pem")
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    listener = Listener(tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    with RunningRouter(RouterConfig(listener=listener, **SMALL)) as router:
        assert router.url.startswith("https://127.0.0.1:")
        with httpx.Client(verify=trusting, trust_env=False) as client:
            pem = client.get(router.url + KEY_PATH).text
            sealed = seal_for(pem, chat("over TLS"))
            response = client.post(router.url + COMPLETION_PATH, content=sealed, headers=headers())
    assert reply_of(open_sealed(response.content)) == "over TLS"


def test_router_counts_its_answers() -> None:
    with RunningRouter(RouterConfig(**SMALL)) as router:
        send(router.url, chat())
        post(router.url, b"")
        request("GET", router.url + "/nowhere")
        expected = {(KEY_PATH, 200): 1, (COMPLETION_PATH, 200): 1, (COMPLETION_PATH, 400): 1, ("-", 404): 1}
        until(lambda: router.router.answers == expected)  # an answer is counted when it has gone out


def test_fingerprint_is_the_one_of_the_served_key() -> None:
    with RunningRouter(RouterConfig(**SMALL)) as router:
        key = serialization.load_pem_public_key(router_pem(router.url).encode())
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        digest = base64.b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
        assert router.fingerprint == f"SHA256:{digest}"
        assert router.public_pem == router_pem(router.url)


def test_server_that_cannot_start_says_so(tmp_path: Path) -> None:
    nonsense = tmp_path / "nonsense.pem"
    nonsense.write_text("nonsense")
    config = RouterConfig(listener=Listener(tls_cert=nonsense, tls_key=nonsense), **SMALL)
    with pytest.raises(RuntimeError, match="did not start"), RunningRouter(config):
        pass


@pytest.mark.parametrize(
    "settings",
    [
        {"key_bits": 1024},
        {"key_rotation_interval_s": -1},
        {"tier_models": {"low": frozenset()}},
        {"api_keys": frozenset({" spaces "})},
        {"api_keys": frozenset({"ümlaut"})},
        {"max_plaintext_bytes": 0},
        {"crypto_threads": 0},
        {"body_timeout_s": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        RouterConfig(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"requests_per_second": 0}, {"requests_per_second": 3, "burst_requests": 2}, {"burst_window_s": 0.5}],
)
def test_rate_limit_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        RateLimit(**settings)


@pytest.mark.parametrize("settings", [{"port": -1}, {"port": 65_536}, {"tls_cert": "cert.pem"}, {"tls_key": "key.pem"}])
def test_listener_that_makes_no_sense_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Listener(**settings)


@pytest.mark.parametrize(
    ("host", "in_clear"),
    [("127.0.0.1", False), ("127.8.8.8", False), ("::1", False), ("localhost", False), ("0.0.0.0", True), ("x", True)],
)
def test_listener_knows_whether_others_reach_it_over_plain_http(host: str, in_clear: bool) -> None:
    assert Listener(host).in_clear_beyond_this_machine is in_clear
    assert not Listener(host, tls_cert="cert.pem", tls_key="key.pem").in_clear_beyond_this_machine


def test_router_listens_on_ipv6() -> None:
    with RunningRouter(RouterConfig(listener=Listener("::1"), **SMALL)) as router:
        assert router.url.startswith("http://[::1]:")
        assert reply_of(ask(router.url, chat("six"))) == "six"


def test_address_in_use_is_an_error() -> None:
    with Listener().bind() as taken, pytest.raises(OSError):
        Listener(port=taken.getsockname()[1]).bind()


def test_settings_do_not_show_keys() -> None:
    assert "alpha" not in repr(RouterConfig(api_keys=frozenset({"alpha"})))
