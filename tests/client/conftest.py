"""What tests of the environment, of the documents' examples and of servers that fall silent share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nomyo.serve.listener import Listener
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from support.documented import MODEL
from support.faults import FaultyRouter
from support.silent import PHASES, TIMEOUT_S, Scene
from support.tls import Authority


@pytest.fixture
def _nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificate that this machine's environment names."""
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper()):
            monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def https_router(tls_authority: Authority) -> Iterator[RunningRouter]:
    """A local router that speaks TLS."""
    listener = Listener(tls_cert=tls_authority.certificate, tls_key=tls_authority.key)
    with RunningRouter(RouterConfig(key_bits=2048, listener=listener)) as running:
        yield running


@pytest.fixture(scope="module")
def documented_router(tls_authority: Authority) -> Iterator[FaultyRouter]:
    """A router with TLS, API keys and a tier, in front of which a test puts faults."""
    listener = Listener(tls_cert=tls_authority.certificate, tls_key=tls_authority.key)
    models = {"maximum": frozenset({MODEL})}
    config = RouterConfig(listener, key_bits=2048, api_keys=frozenset({"a-key", "another-key"}), tier_models=models)
    with FaultyRouter(config) as running:
        yield running


@pytest.fixture
def service(
    documented_router: FaultyRouter, tls_authority: Authority, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> FaultyRouter:
    """The router as the default service, a key that it takes, and a pair in the default directory."""
    documented_router.reset()
    monkeypatch.setenv("NOMYO_BASE_URL", documented_router.url)
    monkeypatch.setenv("NOMYO_API_KEY", "a-key")
    monkeypatch.setenv("SSL_CERT_FILE", str(tls_authority.ca))
    shutil.copytree(key_directory, "client_keys")
    return documented_router


@pytest.fixture(params=PHASES)
def phase(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def silent_scene(phase: str, router: RunningRouter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with PHASES[phase](router.url) as scene:
        for name, value in scene.environment.items():
            monkeypatch.setenv(name, value)
        yield scene


@pytest.fixture
def impatient(key_directory: Path) -> dict[str, Any]:
    """A client's options."""
    return {"allow_http": True, "key_dir": key_directory, "timeout": TIMEOUT_S, "max_retries": 0}
