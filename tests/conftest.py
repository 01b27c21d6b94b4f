"""What most tests share: both twins, a real router, and key pairs that are made once."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from faults import FaultyRouter
from nomyo import _core
from nomyo.exchange import driver
from nomyo.serve.router.config import RouterConfig
from nomyo.serve.router.running import RunningRouter
from scene import Scene
from tls import Authority, make_authority
from twins import TWINS, Twin

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from page_scene import ProxyProcess, Visit
    from sdk import Sdk

# A shell has its background jobs ignore SIGINT, and their children inherit that: Ctrl-C would end none of them.
signal.signal(signal.SIGINT, signal.default_int_handler)

PLAIN_HTTP = "ignore:the router is spoken to over plain HTTP"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests speak plain HTTP to 127.0.0.1; the warning has a test of its own."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings(PLAIN_HTTP))


@pytest.fixture(autouse=True)
def _clean_surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No key directory, environment variable or log level of one test reaches another.

    Garbage is collected while the test still counts, so that a ResourceWarning fails the test it belongs to.
    """
    for name in [name for name in os.environ if name.startswith(("NOMYO_", "OPENAI_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NOMYO_RATE_DIR", f"{tmp_path}-rates")  # the pauses of one test are no other's
    monkeypatch.chdir(tmp_path)
    yield
    logger = logging.getLogger("nomyo")
    logger.setLevel(logging.NOTSET)
    logger.handlers.clear()
    gc.collect()


@pytest.fixture(params=sorted(TWINS))
def twin(request: pytest.FixtureRequest) -> Iterator[Twin]:
    """The sync and the async client in turn."""
    twin = TWINS[request.param]()
    yield twin
    twin.close()


@pytest.fixture(params=("async", "sync"))
def sdk(request: pytest.FixtureRequest) -> Iterator[Sdk]:
    """The OpenAI SDK's sync and async client in turn."""
    from sdk import SDKS

    sdk = SDKS[request.param]()
    yield sdk
    sdk.close()


@pytest.fixture(scope="session")
def client_key() -> _core.PrivateKey:
    """A 2048-bit pair, made once."""
    return _core.PrivateKey.generate(2048)


@pytest.fixture(scope="session")
def key_directory(client_key: _core.PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with that pair, so that clients need not generate one."""
    directory = tmp_path_factory.mktemp("keys") / "client_keys"
    _core.write_key_directory(directory, client_key)
    return directory


@pytest.fixture(scope="session")
def archive_key() -> _core.PrivateKey:
    """A pair that rows of a batch are sealed for."""
    return _core.PrivateKey.generate(2048)


@pytest.fixture(scope="session")
def archive(archive_key: _core.PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with that pair."""
    directory = tmp_path_factory.mktemp("archive") / "archive"
    _core.write_key_directory(directory, archive_key)
    return directory


@pytest.fixture(scope="session")
def router() -> Iterator[RunningRouter]:
    """A local router with the echo model."""
    with RunningRouter(RouterConfig(key_bits=2048)) as running:
        yield running


@pytest.fixture(scope="session")
def _shared_faulty_router() -> Iterator[FaultyRouter]:
    with FaultyRouter() as faulty:
        yield faulty


@pytest.fixture
def faulty_router(_shared_faulty_router: FaultyRouter) -> FaultyRouter:
    """A router in front of which a test puts faults; it has seen nothing yet."""
    _shared_faulty_router.reset()
    return _shared_faulty_router


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts, which take no time."""
    waited: list[float] = []

    async def note_async(seconds: float) -> None:
        waited.append(seconds)

    # The driver's own view of both modules: the router's event loop must go on sleeping.
    monkeypatch.setattr(driver, "asyncio", SimpleNamespace(**{**vars(asyncio), "sleep": note_async}))
    monkeypatch.setattr(driver, "time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.fixture
def unused_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def tls_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """A certificate for this machine, and the authority that vouches for it."""
    return make_authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Messages, a key pair and a router, all of whose secrets a scan can tell."""
    with Scene(tmp_path) as scene:
        yield scene


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; not for longer than a module, since Playwright keeps an event loop in this thread."""
    from page_scene import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared_proxy(_shared_faulty_router: FaultyRouter) -> Iterator[ProxyProcess]:
    from page_scene import proxy_process

    with proxy_process(_shared_faulty_router.url) as proxy:
        yield proxy


@pytest.fixture
def visited(browser: Browser, shared_proxy: ProxyProcess, faulty_router: FaultyRouter) -> Iterator[Visit]:
    """The proxy's page, not opened yet; at the end nothing on it may have broken, or been stopped by its policy."""
    from page_scene import visit

    with visit(browser, shared_proxy) as visited:
        yield visited
