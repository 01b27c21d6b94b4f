"""A router whose answers bring the attestation that a test wants."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nomyo.serve.router import Router, RouterConfig, RunningRouter
from support.soft_tpm import SoftAttester, SoftTpm


@pytest.fixture(scope="session")
def _attesting() -> Iterator[tuple[RunningRouter, SoftAttester]]:
    attester = SoftAttester()
    with RunningRouter(router=Router(RouterConfig(key_bits=2048), attester=attester)) as running:
        yield running, attester


@pytest.fixture
def attester(_attesting: tuple[RunningRouter, SoftAttester]) -> SoftAttester:
    """What attests; as it comes, every check passes that needs no policy."""
    attester = _attesting[1]
    attester.tpm, attester.instead = SoftTpm(), None
    return attester


@pytest.fixture
def attesting_url(_attesting: tuple[RunningRouter, SoftAttester], attester: SoftAttester) -> str:
    """The address of a router that attests."""
    return _attesting[0].url
