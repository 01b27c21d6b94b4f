"""What tests of commands share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nomyo.serve.router.running import RunningRouter
from support.needles import Text
from support.noting_router import NotingRouter
from support.screen import Screen, a_screen


@pytest.fixture
def to_router(router: RunningRouter, key_options: list[str]) -> list[str]:
    return ["--base-url", router.url, "--allow-http", *key_options]


@pytest.fixture
def noting_router() -> Iterator[NotingRouter]:
    with NotingRouter([Text("answer", "an answer")]) as noting:
        yield noting


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Screen]:
    with a_screen(monkeypatch) as made:
        yield made
