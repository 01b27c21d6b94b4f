"""What tests of `nomyo chat` share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nomyo.serve.router.running import RunningRouter
from support.needles import Text
from support.noting_router import NotingRouter


@pytest.fixture
def to_router(router: RunningRouter) -> list[str]:
    return ["--base-url", router.url, "--allow-http"]


@pytest.fixture
def noting_router() -> Iterator[NotingRouter]:
    with NotingRouter([Text("answer", "an answer")]) as noting:
        yield noting
