"""`make docs`: a link that leads nowhere fails; the site needs no other host, and fits a narrow screen."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from support.page_scene import chromium

pytestmark = pytest.mark.outside("the venv of `make docs`, and Chromium")

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / ".venv-docs" / "bin" / "python"
# What a browser loads by itself, as opposed to a link that somebody follows.
THE_THEMES_OWN = {"landmark-unique"}  # two <aside>s without names
LOADED = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


def build(tools: Path, site: Path) -> subprocess.CompletedProcess[str]:
    assert PYTHON.exists(), "`make docs` makes its venv"
    words = [str(PYTHON), "-m", "doc_site", str(site)]
    env = {**os.environ, "PYTHONPATH": str(tools)}
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=200, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("docs") / "site"
    built = build(ROOT / "tools", made)
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return made


@pytest.fixture(scope="module")
def offline_browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Loads(HTMLParser):
    """Collects the addresses that a page has a browser load."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        address = dict(attrs).get(LOADED.get(tag, ""))
        if address and dict(attrs).get("rel") != "canonical":
            self.found.append(address)


def test_page_loads_nothing_from_another_host(site: Path) -> None:
    loads = Loads()
    for page in site.glob("*.html"):
        loads.feed(page.read_text())
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    loads.found += re.findall(r"(?:url\(|@import )\s*[\"']?([^\"')\s]+)", styles)

    assert len(loads.found) > 100
    assert {address for address in loads.found if re.match(r"(\w+:)?//", address)} == set()


@pytest.mark.parametrize("broken", ["[a page](nowhere.md)", "[a heading](keys.md#nowhere), [here](#nowhere)"])
def test_link_that_leads_nowhere_fails(tmp_path: Path, broken: str) -> None:
    for folder in ("docs", "examples", "tools"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    for file in [*ROOT.glob("*.md"), ROOT / "Cargo.toml", ROOT / "pyproject.toml"]:
        shutil.copy(file, tmp_path)
    (tmp_path / "docs" / "client.md").write_text(f"# The client\n\n{broken}\n")
    built = build(tmp_path / "tools", tmp_path / "site")

    assert built.returncode != 0
    assert "nowhere" in built.stderr


def test_llms_txt_leads_to_pages_in_markdown(site: Path) -> None:
    text = (site / "llms.txt").read_text()
    links = re.findall(r"^- \[[^\]]+\]\(([^)#]+)\): .", text, re.MULTILINE)

    assert re.match(r"# nomyo\n\n> \S", text)
    assert len(links) > 25
    assert [link for link in links if not (site / link).is_file()] == []
    assert all((site / link).read_text() in (site / "llms-full.txt").read_text() + "\n" for link in links)


@pytest.mark.parametrize("width_px", [360, 1280])
def test_pages_fit_the_screen_and_report_no_error(site: Path, offline_browser: Browser, width_px: int) -> None:
    page = offline_browser.new_page(viewport={"width": width_px, "height": 800})
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    for name in ("index", "client", "batch", "reference-nomyo", "reference-commands", "environment", "security"):
        page.goto(f"{site.as_uri()}/{name}.html")
        root = "document.documentElement"
        assert page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth"), name
    page.close()

    assert faults == []
    assert {url for url in asked if not url.startswith((site.as_uri(), "data:"))} == set()


def test_axe_finds_nothing_but_what_is_the_themes_own(site: Path, offline_browser: Browser) -> None:
    page = offline_browser.new_page()
    for name in ("batch", "examples", "reference-nomyo-batch"):
        page.goto(f"{site.as_uri()}/{name}.html")
        judged = Axe().run(page).response["violations"]
        assert {each["id"] for each in judged} <= THE_THEMES_OWN, name
    page.close()


def test_search_finds_a_page_without_a_server(site: Path, offline_browser: Browser) -> None:
    page = offline_browser.new_page()
    page.goto(f"{site.as_uri()}/index.html")
    page.get_by_placeholder("Search").fill("locked memory")
    page.get_by_placeholder("Search").press("Enter")
    results = page.locator("#search-results").get_by_role("link")

    expect(results.first).to_have_text(re.compile("Memory|Troubleshooting"))  # for users, before the changelog
    expect(results.filter(has_text="Changelog")).to_be_visible()
    page.close()
