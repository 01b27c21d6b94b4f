"""Clients of Anthropic's SDK."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import pytest

from support.anthropic_sdk import ANTHROPIC_SDKS
from support.sdk import Sdk


@pytest.fixture(params=("async", "sync"))
def sdk(request: pytest.FixtureRequest) -> Iterator[Sdk]:
    """The SDK's sync and async client in turn."""
    sdk = ANTHROPIC_SDKS[request.param]()
    yield sdk
    sdk.close()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's waits between attempts take no time."""
    base = anthropic.Anthropic.__mro__[1].__mro__[1]
    monkeypatch.setattr(base, "_calculate_retry_timeout", lambda *_, **__: 0.0)
