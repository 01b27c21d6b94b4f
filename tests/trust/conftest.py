"""A router whose key somebody on the way can replace, and where its first key is remembered."""

from __future__ import annotations

from pathlib import Path

import pytest

from nomyo import _core
from support.faults import PUBLIC_KEY, FaultyRouter


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known_routers"


@pytest.fixture(scope="session")
def other_key() -> _core.PublicKey:
    """Another key of the router's."""
    return _core.PrivateKey.generate(2048).public_key


@pytest.fixture
def changed(faulty_router: FaultyRouter, other_key: _core.PublicKey) -> FaultyRouter:
    """A router whose key was replaced by somebody on the way, until `change` is None."""
    faulty_router.path = PUBLIC_KEY
    return faulty_router
