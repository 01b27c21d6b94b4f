"""What tests of packages, of JSON and of what the proxy makes of it share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nomyo import _core
from support.core_work import PAYLOAD
from support.faults import FaultyRouter
from support.native_json import Json
from support.proxied import Proxy, proxy_process


@pytest.fixture(scope="module")
def native(client_key: _core.PrivateKey) -> Json:
    return Json(client_key)


@pytest.fixture(scope="module")
def key(client_key: _core.PrivateKey) -> _core.PrivateKey:
    return client_key


@pytest.fixture(scope="module")
def package(key: _core.PrivateKey) -> bytes:
    return _core.seal(PAYLOAD, key.public_key)


@pytest.fixture(scope="module")
def _shared_proxy(_shared_faulty_router: FaultyRouter, key_directory: Path) -> Iterator[Proxy]:
    with proxy_process(_shared_faulty_router.url, key_directory) as proxy:
        yield proxy


@pytest.fixture
def proxy(_shared_proxy: Proxy, faulty_router: FaultyRouter) -> Proxy:
    """A proxy whose router has seen nothing yet."""
    return _shared_proxy
