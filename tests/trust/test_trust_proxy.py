"""`nomyo proxy --known-routers`: a key that is refused is an answer of 502, until it is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomyo.trust.known_routers import KnownRouters
from nomyo.trust.router_name import router_name
from support.faults import FaultyRouter
from support.proxied import chat, error_of, proxy_process, said_by


@pytest.mark.slow("starts the proxy as a process")
def test_proxy_refuses_a_changed_key_and_goes_on_after_accept(
    faulty_router: FaultyRouter, key_directory: Path, tmp_path: Path
) -> None:
    known_routers = KnownRouters(tmp_path / "known_routers")
    router = router_name(faulty_router.url)
    known_routers.accept(router, "SHA256:" + "A" * 43)
    with proxy_process(faulty_router.url, key_directory, "--known-routers", str(known_routers.path)) as proxy:
        refused = proxy.post(chat())
        assert error_of(refused) == (502, "server_error", "not_secure")
        assert faulty_router.running.fingerprint in refused.json()["error"]["message"]
        assert faulty_router.posts == []

        known_routers.accept(router, None)

        assert said_by(proxy.post(chat())) == "hello"
