"""The page's surroundings: a proxy in a process of its own, and Chromium that looks at what it serves."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from support.faults import FaultyRouter
from support.peer import open_with, seal_for
from support.proxied import Proxy, proxy_process

# Without them Chromium looks for updates of itself; --no-sandbox because it refuses to run as root with its sandbox.
_QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
_NOTE_VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
        window.violations.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
MODELS = ("Qwen/Qwen3-0.6B", "model-that-reasons")
# Everything is served by this machine, which may be busy with other things.
_TIMEOUT_MS = 30_000


@contextmanager
def page_proxy(
    router_url: str, *options: str, models: tuple[str, ...] = MODELS, token: str | None = None
) -> Iterator[Proxy]:
    """Run a proxy before a router; it draws its token if none is given."""
    named = [word for model in models for word in ("--model", model)]
    own = ("--grace", "2", "--log-level", "error", *named, *options)
    with proxy_process(router_url, None, *own, NOMYO_PROXY_TOKEN=token or "") as proxy:
        yield proxy


@contextmanager
def chromium(env: dict[str, str] | None = None) -> Iterator[Browser]:
    """Run headless Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert path, "the page's tests need Chromium: `make test-tools` installs Debian's"
    expect.set_options(timeout=_TIMEOUT_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_QUIET, env={**os.environ, **(env or {})})
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """One look at the page, in a profile of its own that has never been here."""

    page: Page
    proxy: Proxy
    requests: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    @property
    def message(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message")

    @property
    def conversation(self) -> Locator:
        return self.page.get_by_role("log", name="Conversation")

    @property
    def answers(self) -> Locator:
        """The texts of the answers."""
        return self.conversation.locator(".answer > .text")

    @property
    def failure(self) -> Locator:
        return self.conversation.locator(".failure")

    @property
    def stopped(self) -> Locator:
        return self.conversation.locator(".stopped")

    @property
    def token(self) -> Locator:
        return self.page.get_by_label("Token of the proxy")

    @property
    def right_token(self) -> str:
        assert self.proxy.token
        return self.proxy.token

    def open(self, fragment: str | None = None) -> None:
        """Go to the page with the token, or the fragment given, and wait for what it then shows."""
        self.page.goto(f"{self.proxy.url}/{fragment}" if fragment is not None else self.proxy.page_url)
        self.page.locator("form:visible").wait_for()

    def press(self, name: str) -> None:
        """Click the last button of a name."""
        self.page.get_by_role("button", name=name).last.click()

    def say(self, text: str) -> None:
        """Write and send, by keyboard, without waiting for the answer."""
        self.message.fill(text)
        self.message.press("Enter")

    def ask(self, text: str) -> None:
        """Send a question and wait until its answer is there."""
        before = self.answers.count()
        self.say(text)
        self.answers.nth(before).wait_for()

    def violations(self) -> list[str]:
        """Return what the page's security policy stopped so far."""
        found: list[str] = self.page.evaluate("window.violations")
        return found


@contextmanager
def visit(browser: Browser, proxy: Proxy, **context_options: Any) -> Iterator[Visit]:
    """Open a fresh profile, with no page yet; at the end nothing may have broken, or been stopped by the policy."""
    context = browser.new_context(**{"viewport": {"width": 1200, "height": 760}, **context_options})
    context.set_default_timeout(_TIMEOUT_MS)
    context.add_init_script(_NOTE_VIOLATIONS)
    page = context.new_page()
    visit = Visit(page, proxy)
    page.on("request", lambda request: visit.requests.append(request.url))
    page.on("pageerror", lambda error: visit.faults.append(str(error)))
    page.on("console", lambda said: visit.faults.append(said.text) if "Content Security Policy" in said.text else None)
    try:
        yield visit
        assert visit.faults == []
        assert visit.violations() == []
    finally:
        context.close()


def page_folder() -> Path:
    """Return where the page's files are."""
    import nomyo

    return Path(nomyo.__file__).parent / "serve" / "proxy" / "page"


def sealed_in(router: FaultyRouter) -> list[Any]:
    """Open what the router was sent, with its key and an implementation that is not ours."""
    return [open_with(router.private_key_pem, request.body) for request in router.posts]


def sealed_answer(router: FaultyRouter, answer: Any) -> bytes:
    """Seal an answer of the test's own for whoever asked last."""
    return seal_for(unquote(router.posts[-1].headers["x-public-key"]), answer)
