"""The proxy's page for everybody: keyboard alone, screen readers, narrow screens, dark rooms, little motion."""

from __future__ import annotations

import re
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect

from support.faults import Answer, FaultyRouter
from support.page_scene import Visit, page_proxy, visit
from support.proxied import Proxy

# Whatever axe-core knows of WCAG 2.2, levels A and AA, and its own best practices.
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
# The protections fit in without scrolling: where they do not, Tab stops at them too.
ROOMY: ViewportSize = {"width": 1200, "height": 1100}
IS_UNCOVERED = """() => {
    const { left, top, width, height } = document.activeElement.getBoundingClientRect();
    const seen = document.elementFromPoint(left + width / 2, top + height / 2);
    return document.activeElement.contains(seen) || seen?.contains(document.activeElement);
}"""
DRAWN_OUTLINE = """() => {
    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
    return outlineStyle !== "none" && parseFloat(outlineWidth) >= 2;
}"""


def overflow_px(page: Page) -> int:
    """Return by how much the page is wider than the window."""
    wider: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return wider


def focus_ring(page: Page, presses: int) -> list[str]:
    """Press Tab so many times: what had the focus, in words. Each must be seen to have it, and not be covered."""
    names = []
    for _ in range(presses):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
        assert page.evaluate(DRAWN_OUTLINE), names
        assert page.evaluate(IS_UNCOVERED), names
    return names


def complaints(page: Page) -> list[Any]:
    """Return what axe-core finds while nothing is sticky, because what sticks covers a part of some button."""
    page.evaluate("for (const each of document.querySelectorAll('form, aside')) each.style.position = 'static'")
    found: list[Any] = Axe().run(page, options=RULES).response["violations"]
    return [(rule["id"], node["html"], node["failureSummary"]) for rule in found for node in rule["nodes"]]


def fill_with_everything(visited: Visit, router: FaultyRouter) -> None:
    """Bring about answers, a failure, a remark and opened metadata, with words too long for any line."""
    visited.open()
    table = "| " + "column | " * 12 + "\n" + "|-" * 12 + "|\n" + "| cell " * 12 + "|"
    visited.ask(f"### Is this all?\n```\n{'code ' * 60}\n```\n- [link](http://a)\n\n{table}\n\n" + "w" * 400)
    visited.page.get_by_text("All metadata").click()
    router.answers.append(Answer(403, b'{"detail": "' + b"long" * 60 + b'"}'))
    visited.say("x" * 400)
    visited.failure.wait_for()


def test_whole_chat_works_by_keyboard(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open("")
    keyboard = visited.page.keyboard
    expect(visited.token).to_be_focused()
    keyboard.type(visited.right_token)
    keyboard.press("Enter")
    expect(visited.message).to_be_focused()

    keyboard.type("one")
    keyboard.press("Shift+Enter")
    keyboard.type("two")
    keyboard.press("Enter")
    expect(visited.answers).to_have_text(["one\ntwo"])
    expect(visited.message).to_be_focused()
    expect(visited.message).to_have_value("")

    faulty_router.answers.append(Answer(403))
    keyboard.type("refused at first")
    keyboard.press("Enter")
    visited.failure.wait_for()
    keyboard.press("Shift+Tab")
    expect(visited.failure.get_by_role("button", name="Retry")).to_be_focused()
    keyboard.press("Enter")
    expect(visited.answers).to_have_text(["one\ntwo", "refused at first"])
    expect(visited.message).to_be_focused()


def test_escape_stops_what_is_under_way(visited: Visit) -> None:
    visited.open()
    visited.page.route("**/v1/chat/completions", lambda route: None)  # a network that never answers
    visited.say("hello")
    expect(visited.page.get_by_role("button", name="Stop")).to_be_visible()
    visited.page.keyboard.press("Escape")
    expect(visited.stopped).to_contain_text("Stopped.")
    expect(visited.message).to_be_focused()


def test_enter_that_composes_a_sign_sends_nothing(visited: Visit) -> None:
    visited.open()
    visited.message.fill("にほん")
    visited.message.dispatch_event("keydown", {"key": "Enter", "isComposing": True})
    expect(visited.message).to_have_value("にほん")
    expect(visited.conversation).to_be_empty()


def test_enter_makes_a_line_on_a_phone(browser: Browser, shared_proxy: Proxy, faulty_router: FaultyRouter) -> None:
    phone = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
    with visit(browser, shared_proxy, **phone) as visited:
        visited.open()
        expect(visited.page.locator("#keys")).to_be_hidden()
        assert visited.message.get_attribute("aria-describedby") is None
        visited.page.keyboard.type("one")
        visited.page.keyboard.press("Enter")
        visited.page.keyboard.type("two")
        expect(visited.conversation).to_be_empty()
        visited.press("Send")
        expect(visited.answers).to_have_text(["one two"])
        assert visited.answers.inner_text() == "one\ntwo"


def test_empty_message_is_not_sent(visited: Visit) -> None:
    visited.open()
    visited.message.fill("  \n ")
    visited.message.press("Enter")
    expect(visited.conversation).to_be_empty()


def test_focus_is_seen_on_everything_and_goes_round_in_order(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.page.set_viewport_size(ROOMY)
    fill_with_everything(visited, faulty_router)
    visited.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    visited.page.mouse.click(5, 5)

    head = ["model", "tier", "settings-name", "export", "clear"]
    answered = ["Edit", "Copy", "column" * 12 + "cell" * 12, "All metadata", "Copy"]
    assert focus_ring(visited.page, 14) == [*head, *answered, "Edit", "Retry", "message", "send"]


@pytest.mark.parametrize(
    ("behind", "before", "key"),
    [
        (
            "rect.bottom - innerHeight + 20",
            "article:first-child .question button",
            "Tab",
        ),  # where the message is written
        ("rect.top - 10", "article:first-child .answer .actions button", "Shift+Tab"),  # the page's head
    ],
)
def test_what_gets_the_focus_comes_out_from_behind_what_sticks(
    visited: Visit, behind: str, before: str, key: str
) -> None:
    visited.page.set_viewport_size(ROOMY)
    visited.open()
    visited.ask("line\n" * 60)
    visited.ask("line\n" * 60)
    visited.page.evaluate(
        f"""() => {{
            const rect = document.querySelector(".answer summary").getBoundingClientRect();
            scrollBy(0, {behind});
            document.querySelector("{before}").focus({{ preventScroll: true }});
        }}"""
    )
    visited.page.keyboard.press(key)

    expect(visited.page.get_by_text("All metadata").first).to_be_focused()
    assert visited.page.evaluate(IS_UNCOVERED)


@pytest.mark.parametrize("width", [320, 360])
def test_narrow_screen_needs_no_sideways_scrolling(
    browser: Browser, shared_proxy: Proxy, faulty_router: FaultyRouter, width: int
) -> None:
    with visit(browser, shared_proxy, viewport={"width": width, "height": 640}) as visited:
        visited.open("")
        assert overflow_px(visited.page) <= 0
        fill_with_everything(visited, faulty_router)
        assert overflow_px(visited.page) <= 0
        summary = visited.page.get_by_role("complementary", name="Protections").locator("summary")
        # Weak is that the router is reached in clear, and memory where it is short.
        expect(summary).to_have_text(re.compile("^Sealed · [12] weak · router's key .{8}…$"))
        expect(summary).to_be_in_viewport()  # it stays on top, whatever was scrolled
        expect(visited.message).to_be_in_viewport()
        summary.click()
        expect(visited.page.get_by_text(faulty_router.running.fingerprint, exact=True)).to_be_visible()
        assert overflow_px(visited.page) <= 0


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_to_complain_of(
    browser: Browser, shared_proxy: Proxy, faulty_router: FaultyRouter, scheme: Any, width: int
) -> None:
    size = {"width": width, "height": 900}
    with visit(browser, shared_proxy, color_scheme=scheme, viewport=size) as visited:
        visited.open("")
        assert complaints(visited.page) == []
        visited.token.fill("wrong")
        visited.token.press("Enter")
        visited.page.get_by_text("does not accept").wait_for()
        assert complaints(visited.page) == []
        fill_with_everything(visited, faulty_router)
        assert complaints(visited.page) == []
        visited.press("Edit")
        visited.page.get_by_text("Settings").click()
        assert complaints(visited.page) == []
        visited.press("Clear")
        assert complaints(visited.page) == []
        visited.press("Keep it")
        if width < 1000:
            visited.page.get_by_role("complementary").locator("summary").click()
            assert complaints(visited.page) == []


def test_dark_is_dark_and_light_is_light(browser: Browser, shared_proxy: Proxy) -> None:
    for scheme, is_dark in (("light", False), ("dark", True)):
        with visit(browser, shared_proxy, color_scheme=scheme) as visited:
            visited.open()
            background = visited.page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
            assert (sum(map(int, background[4:-1].split(","))) < 3 * 64) == is_dark


def test_screen_reader_finds_landmarks_names_and_order(visited: Visit) -> None:
    visited.open()
    visited.ask("hello")
    expect(visited.page.locator("body")).to_match_aria_snapshot(
        """
        - banner:
          - heading "nomyo" [level=1]
          - text: Model
          - combobox "Model"
          - text: Tier
          - combobox "Tier"
          - group: Settings
          - button "Export"
          - button "Clear"
        - complementary "Protections":
          - group:
            - heading "In force now" [level=2]
            - term: "In force: Sealed for the router"
        - main:
          - log "Conversation":
            - article:
              - heading "You" [level=2]
              - text: hello
              - button "Edit"
              - heading "Qwen/Qwen3-0.6B" [level=2]
              - paragraph: hello
              - term: Sealed
              - definition: both ways
              - button "Copy answer"
              - button "Regenerate"
          - textbox "Message"
          - button "Send"
        """
    )
    assert visited.conversation.get_attribute("aria-live") == "polite"


def test_what_is_typed_goes_to_no_spell_checker_or_translator(visited: Visit) -> None:
    visited.open("")
    fields = {"message": "off", "token": "one-time-code", "model-name": "off", "instructions": "off"}
    for name, autocomplete in fields.items():
        field = visited.page.locator(f"#{name}")
        assert field.evaluate("(field) => [field.spellcheck, field.translate]") == [False, False]
        assert field.get_attribute("autocomplete") == autocomplete


def test_nothing_moves_for_those_who_want_no_motion(browser: Browser, shared_proxy: Proxy) -> None:
    moving = "getComputedStyle(document.querySelector('.waiting'), '::before').animationName"
    for motion, name in (("no-preference", "breathe"), ("reduce", "none")):
        with visit(browser, shared_proxy, reduced_motion=motion) as visited:
            visited.open()
            visited.page.route("**/v1/chat/completions", lambda route: None)
            visited.say("hello")
            visited.page.locator(".waiting").wait_for()
            assert visited.page.evaluate(moving) == name


def test_protections_open_where_there_is_room_for_them(browser: Browser, faulty_router: FaultyRouter) -> None:
    with page_proxy(faulty_router.url) as proxy, visit(browser, proxy) as visited:
        visited.open()
        listed = visited.page.get_by_text("Nothing is stored")
        expect(listed).to_be_visible()
        visited.page.set_viewport_size({"width": 360, "height": 700})
        expect(listed).to_be_hidden()


def test_lines_of_a_protection_stand_below_each_other(browser: Browser, faulty_router: FaultyRouter) -> None:
    with page_proxy(faulty_router.url) as proxy, visit(browser, proxy, viewport=ROOMY) as visited:
        visited.open()
        heading = visited.page.get_by_text("The router is reached over plain HTTP")
        heading.evaluate("each => { each.textContent += ' and on'.repeat(20); }")
        beginnings = heading.evaluate(
            "each => { const words = document.createRange(); words.selectNodeContents(each);"
            " return [...words.getClientRects()].map((line) => line.left); }"
        )

    assert len(beginnings) > 1
    assert len(set(beginnings)) == 1
