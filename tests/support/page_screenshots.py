"""Takes the pictures of the page for the documentation: a real proxy, a real router, nothing made up but the words.

Usage: page_screenshots.py DIRECTORY
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.faults import Answer, FaultyRouter
from support.page_scene import Visit, chromium, page_proxy, visit
from support.proxied import Proxy

QUESTION = "Which of these findings needs a second opinion?\n\nferritin 11 µg/l\nHbA1c 5.4 %\nTSH 2.1 mU/l"
# Debian's default is made for small print on old screens; this is what the page looks like on most machines.
FONT = "Inter"
FONTS = f"""<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig>
<include>/etc/fonts/fonts.conf</include>
{
    "".join(
        f'''<match target="pattern"><test qual="any" name="family"><string>{name}</string></test>
<edit name="family" mode="prepend" binding="strong"><string>{FONT}</string></edit></match>'''
        for name in ("sans", "sans-serif")
    )
}
</fontconfig>"""


def main(directory: Path) -> None:
    """Write the pictures into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as fonts:
        fonts.write(FONTS)
        fonts.flush()
        with (
            FaultyRouter() as router,
            page_proxy(router.url) as proxy,
            chromium({"FONTCONFIG_FILE": fonts.name} if has_font() else {}) as browser,
        ):
            take_all(directory, browser, proxy, router)


def take_all(directory: Path, browser: Browser, proxy: Proxy, router: FaultyRouter) -> None:
    def take(name: str, act: Callable[[Visit], object], **options: Any) -> None:
        with visit(browser, proxy, **options) as visited:
            act(visited)
            visited.page.wait_for_timeout(300)  # until the last answer's status has come
            picture = directory / f"{name}.png"
            visited.page.screenshot(path=picture)
        make_smaller(picture)

    def chat(visited: Visit) -> None:
        visited.open()
        visited.ask(QUESTION)

    def failure(visited: Visit) -> None:
        chat(visited)
        router.answers.append(Answer(403, b'{"detail": "This model is not allowed in this tier"}'))
        visited.say("And which of them first?")
        visited.failure.wait_for()

    def protections(visited: Visit) -> None:
        chat(visited)
        visited.page.get_by_role("complementary").locator("summary").click()
        visited.page.evaluate("scrollTo(0, 0)")

    narrow = {"width": 360, "height": 740}
    take("page-light", chat)
    take("page-dark", failure, color_scheme="dark")
    take("page-narrow", failure, viewport=narrow)
    take("page-narrow-protections", protections, viewport=narrow, color_scheme="dark")
    take("page-locked", lambda visited: visited.open(""))


def make_smaller(picture: Path) -> None:
    """Leave 64 colours, where pngquant is there to do it."""
    if pngquant := shutil.which("pngquant"):
        subprocess.run([pngquant, "64", "--force", "--strip", "--ext", ".png", picture], check=True)


def has_font() -> bool:
    """Tell whether the font is installed."""
    if shutil.which("fc-list") is None:
        return False
    return bool(subprocess.run(["fc-list", FONT], capture_output=True, check=False).stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
