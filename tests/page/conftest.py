"""What tests of the page share: Chromium, and a proxy whose page it looks at."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from support.faults import FaultyRouter
from support.page_scene import Visit, chromium, page_proxy, visit
from support.proxied import Proxy


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium; not for longer than a module, since Playwright keeps an event loop in this thread."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def shared_proxy(_shared_faulty_router: FaultyRouter) -> Iterator[Proxy]:
    with page_proxy(_shared_faulty_router.url) as proxy:
        yield proxy


@pytest.fixture
def visited(browser: Browser, shared_proxy: Proxy, faulty_router: FaultyRouter) -> Iterator[Visit]:
    """The proxy's page, not opened yet; at the end nothing on it may have broken, or been stopped by its policy."""
    with visit(browser, shared_proxy) as visited:
        yield visited
