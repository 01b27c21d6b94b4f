"""What one does with a conversation on the page: set, edit, regenerate, export, forget, and send images."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, expect

from support.faults import Answer, FaultyRouter
from support.odd_answers import answer_in_turn, completion
from support.page_scene import MODELS, Visit, page_proxy, sealed_in, visit

EXIF = "\xff\xe1\x00\x15Exif\0\0taken at home"
"""The segment that a camera writes behind the start of a JPEG: its marker, its length, and what it says."""

GIVE_FILES = """async ([event, sizes, exif]) => {
    const segment = Uint8Array.from(exif, (letter) => letter.charCodeAt(0));
    const given = new DataTransfer();
    for (const [width, height, type] of sizes) {
        const canvas = Object.assign(document.createElement("canvas"), { width, height });
        canvas.getContext("2d").fillRect(0, 0, width, height);
        const blob = await new Promise((done) => canvas.toBlob(done, type));
        const written = type === "image/jpeg" ? segment : "";
        const parts = width ? [blob.slice(0, 2), written, blob.slice(2)] : [new Uint8Array(height)];
        given.items.add(new File(parts, "file", { type }));
    }
    const options = { bubbles: true, cancelable: true };
    const made = event === "paste"
        ? new ClipboardEvent("paste", { ...options, clipboardData: given })
        : new DragEvent("drop", { ...options, dataTransfer: given });
    document.getElementById("message").dispatchEvent(made);
    return made.defaultPrevented;
}"""


def give_files(page: Page, event: str, *files: tuple[int, int, str]) -> bool:
    """Paste or drop files: width, height and type, or 0, bytes and type. Tell whether the page took them."""
    taken: bool = page.evaluate(GIVE_FILES, [event, files, EXIF])
    return taken


def contents(router: FaultyRouter) -> list[Any]:
    """Return what the messages of the last request say."""
    return [message["content"] for message in sealed_in(router)[-1]["messages"]]


def test_model_is_asked_for_where_none_is_named(browser: Browser, faulty_router: FaultyRouter) -> None:
    with page_proxy(faulty_router.url, models=()) as proxy, visit(browser, proxy) as visited:
        visited.open()
        visited.say("hello")
        model = visited.page.get_by_role("textbox", name="Model")
        expect(model).to_be_focused()
        expect(visited.page.get_by_text("Which model?")).to_be_visible()
        expect(visited.message).to_have_value("hello")
        assert faulty_router.posts == []
        visited.page.keyboard.type("my-model")
        visited.page.keyboard.press("Enter")
        expect(visited.answers).to_have_text(["hello"])
        expect(visited.message).to_be_focused()
        expect(visited.page.get_by_text("Which model?")).to_have_count(0)
    assert sealed_in(faulty_router)[-1]["model"] == "my-model"


def test_instructions_and_temperature_go_with_each_question(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    settings = visited.page.locator("#settings-name")
    settings.click()
    visited.page.get_by_label("Instructions").fill("Be brief.")
    visited.page.get_by_label("Temperature").fill("3")
    visited.say("hello")
    expect(visited.page.get_by_label("Temperature")).to_be_focused()  # out of range: nothing is sent
    assert faulty_router.posts == []
    visited.page.get_by_label("Temperature").fill("0.5")
    expect(settings).to_have_text("Settings (2)")
    visited.page.keyboard.press("Escape")
    expect(settings).to_be_focused()
    visited.message.press("Enter")
    expect(visited.answers).to_have_text(["hello"])

    first = {"role": "system", "content": "Be brief."}
    messages = [first, {"role": "user", "content": "hello"}]
    assert sealed_in(faulty_router) == [{"model": MODELS[0], "temperature": 0.5, "messages": messages}]


def test_answer_is_regenerated_and_stays_if_that_fails(visited: Visit, faulty_router: FaultyRouter) -> None:
    answer_in_turn(faulty_router, [completion({"content": word}) for word in ("one", "two", "three")])
    visited.open()
    visited.ask("first")
    visited.press("Regenerate")
    expect(visited.answers).to_have_text(["two"])
    assert contents(faulty_router) == ["first"]
    faulty_router.answers.append(Answer(403))
    visited.press("Regenerate")
    expect(visited.failure).to_be_visible()
    expect(visited.answers).to_have_text(["two"])
    visited.press("Retry")
    expect(visited.answers).to_have_text(["three"])
    expect(visited.failure).to_have_count(0)
    expect(visited.page.locator("#tally")).to_have_text("Tokens so far: 3 in, 6 out")  # all three were billed


def test_question_is_edited_and_what_follows_it_goes(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    for question in ("one", "two", "three"):
        visited.ask(question)
    visited.message.fill("a draft")
    visited.page.get_by_role("button", name="Edit").nth(1).click()
    expect(visited.message).to_have_value("two")
    expect(visited.message).to_be_focused()
    visited.page.keyboard.press("Escape")
    expect(visited.message).to_have_value("a draft")
    visited.page.get_by_role("button", name="Edit").nth(1).click()
    visited.say("zwei")
    expect(visited.answers).to_have_text(["one", "zwei"])
    assert contents(faulty_router) == ["one", "one", "zwei"]
    expect(visited.message).to_have_value("a draft")
    expect(visited.page.locator("#editing")).to_be_hidden()


def test_tokens_of_the_conversation_are_counted(visited: Visit, faulty_router: FaultyRouter) -> None:
    most = {"prompt_tokens": 2**53 - 1, "completion_tokens": 2}
    answer_in_turn(faulty_router, [completion({"content": "a"}, usage=usage) for usage in (most, most, None)])
    visited.open()
    tally = visited.page.locator("#tally")
    expect(tally).to_be_empty()
    visited.ask("one")
    visited.ask("two")
    expect(tally).to_have_text(f"Tokens so far: {2**53} in, 4 out")
    visited.ask("three")
    expect(tally).to_have_text(f"Tokens so far: at least {2**53} in, 4 out")


def test_seconds_are_counted_while_an_answer_is_waited_for(visited: Visit) -> None:
    visited.page.clock.install()
    visited.open()
    visited.page.route("**/v1/chat/completions", lambda route: None)
    visited.say("hello")
    waiting = visited.page.locator(".waiting")
    expect(waiting).to_contain_text("waiting for the answer.")
    visited.page.clock.run_for(3_000)
    expect(waiting).to_have_text(re.compile(r"answer\. ([3-9]|\d\d+) s$"))
    assert waiting.locator("span").get_attribute("aria-hidden") == "true"


def test_clear_asks_before_it_forgets(visited: Visit) -> None:
    visited.open()
    visited.message.fill("nothing to ask about")
    visited.press("Clear")
    expect(visited.message).to_have_value("")
    visited.ask("hello")
    for key in ("Enter", "Escape"):
        visited.press("Clear")
        expect(visited.page.get_by_role("dialog", name="Forget the conversation?")).to_be_visible()
        expect(visited.page.get_by_role("button", name="Keep it")).to_be_focused()
        visited.page.keyboard.press(key)
        expect(visited.answers).to_have_text(["hello"])
    visited.press("Clear")
    visited.press("Forget it")
    expect(visited.conversation).to_be_empty()
    expect(visited.page.locator("#tally")).to_be_empty()
    expect(visited.message).to_be_focused()


def test_browser_asks_before_a_reload_loses_a_conversation(visited: Visit) -> None:
    asked: list[str] = []

    def accept(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    visited.page.on("dialog", accept)
    visited.open()
    visited.page.reload()
    assert asked == []
    visited.open()
    visited.ask("hello")
    visited.page.reload()
    assert asked == ["beforeunload"]


def test_conversation_is_written_into_a_file_by_a_click(visited: Visit, faulty_router: FaultyRouter) -> None:
    answer_in_turn(faulty_router, [completion({"content": "an **answer**\u202e"})])
    visited.open()
    export = visited.page.get_by_role("button", name="Export")
    expect(export).to_be_disabled()
    visited.page.locator("#instructions").evaluate("(field) => { field.value = 'Be brief.'; }")
    visited.ask("a question")
    faulty_router.answers.append(Answer(403))
    visited.say("refused")
    visited.failure.wait_for()
    with visited.page.expect_download() as download:
        export.click()

    assert download.value.suggested_filename == "conversation.md"
    assert Path(download.value.path()).read_text() == (
        "# Conversation\n\n## Instructions\n\nBe brief.\n\n## You\n\na question\n\n## m\n\nan **answer**\\u{202e}\n\n"
        "## You\n\nrefused\n\n## No answer\n\n(This question was not answered.)\n"
    )


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_image_goes_with_a_message(visited: Visit, faulty_router: FaultyRouter, event: str) -> None:
    visited.open()
    assert give_files(visited.page, event, (3000, 1000, "image/jpeg"), (30, 20, "image/png"))
    expect(visited.page.locator("#images canvas")).to_have_count(2)
    visited.ask("What is this?")
    visited.ask("And now?")

    first, answer, _ = contents(faulty_router)
    assert answer == "What is this?"
    assert [part["type"] for part in first] == ["text", "image_url", "image_url"]
    jpeg, png = (part["image_url"]["url"].partition(",") for part in first[1:])
    assert (jpeg[0], png[0]) == ("data:image/jpeg;base64", "data:image/png;base64")
    assert base64.b64decode(png[2])[16:24] == (30).to_bytes(4, "big") + (20).to_bytes(4, "big")
    frame = re.search(b"\xff\xc0..\x08(....)", base64.b64decode(jpeg[2]), re.DOTALL)
    assert frame
    assert b"Exif" not in base64.b64decode(jpeg[2])
    assert frame[1] == (523).to_bytes(2, "big") + (1568).to_bytes(2, "big")
    expect(visited.conversation.get_by_role("img")).to_have_count(2)
    expect(visited.page.locator("#images canvas")).to_have_count(0)


def test_images_are_bounded_and_can_be_removed(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    note = visited.page.locator("#image-note")
    shown = visited.page.locator("#images canvas")
    for size_bytes, kind, words in (
        (1, "text/plain", "Only images can go with a message: PNG, JPEG, WebP or GIF."),
        (20_000_001, "image/png", "An image may have 20 MB at most."),
        (20, "image/png", "This image cannot be read."),
    ):
        assert give_files(visited.page, "drop", (0, size_bytes, kind))
        expect(note).to_have_text(words)
    assert give_files(visited.page, "drop", *[(5, 5, "image/png")] * 5)
    expect(note).to_have_text("A message takes 4 images at most.")
    expect(shown).to_have_count(4)
    for left in (3, 2, 1):
        visited.press("Remove image")
        expect(shown).to_have_count(left)
    visited.message.press("Enter")  # an image alone is a message
    visited.answers.wait_for(state="attached")
    [[image]] = contents(faulty_router)
    assert image["type"] == "image_url"


def test_cleared_question_is_not_sent_once_a_model_is_named(browser: Browser, faulty_router: FaultyRouter) -> None:
    with page_proxy(faulty_router.url, models=()) as proxy, visit(browser, proxy) as visited:
        visited.open()
        model = visited.page.get_by_role("textbox", name="Model")
        model.fill("my-model")
        faulty_router.answers.append(Answer(403))
        visited.say("a secret")
        visited.failure.wait_for()
        model.fill("")
        visited.press("Retry")
        expect(visited.page.get_by_text("Which model?")).to_be_visible()
        visited.press("Clear")
        visited.press("Forget it")
        expect(visited.page.get_by_text("Which model?")).to_have_count(0)
        model.fill("my-model")
        model.press("Enter")
        expect(visited.message).to_be_focused()
        visited.ask("hello")
    assert contents(faulty_router) == ["hello"]
    assert len(faulty_router.posts) == 2


def test_cleared_images_do_not_come_back_once_they_are_read(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    visited.page.evaluate(
        """() => {
            const read = createImageBitmap;
            const released = new Promise((release) => (window.release = release));
            window.createImageBitmap = (file) => {
                window.createImageBitmap = read;
                return released.then(() => read(file));
            };
        }"""
    )
    give_files(visited.page, "drop", (30, 20, "image/png"), (30, 20, "image/png"))
    visited.press("Clear")
    visited.page.evaluate("release(); new Promise((done) => setTimeout(done, 500))")
    expect(visited.page.locator("#images canvas")).to_have_count(0)
    visited.ask("hello")
    assert contents(faulty_router) == ["hello"]


def test_image_keeps_no_more_pixels_than_are_shown(visited: Visit) -> None:
    visited.open()
    visited.page.evaluate(
        """() => {
            window.drawnOn = new Set();
            const draw = CanvasRenderingContext2D.prototype.drawImage;
            CanvasRenderingContext2D.prototype.drawImage = function (...given) {
                drawnOn.add(this.canvas);
                draw.apply(this, given);
            };
        }"""
    )
    give_files(visited.page, "drop", (3000, 1000, "image/jpeg"), (1600, 1600, "image/png"))
    expect(visited.page.locator("#images canvas")).to_have_count(2)
    visited.ask("What is this?")
    expect(visited.conversation.get_by_role("img", name="Image, 1568 by 523 pixels")).to_be_visible()
    assert visited.page.evaluate("Math.max(...[...drawnOn].map(({ width, height }) => width * height))") == 400 * 400


def test_question_is_sent_where_the_browser_has_no_memory_to_show_its_image(
    visited: Visit, faulty_router: FaultyRouter
) -> None:
    visited.open()
    give_files(visited.page, "drop", (30, 20, "image/png"))
    expect(visited.page.locator("#images canvas")).to_have_count(1)
    visited.page.evaluate("HTMLCanvasElement.prototype.getContext = () => null")
    visited.ask("What is this?")
    expect(visited.conversation.get_by_text("Image, 30 by 20 pixels")).to_be_visible()
    assert [part["type"] for part in contents(faulty_router)[-1]] == ["text", "image_url"]


def test_images_too_large_for_a_request_are_told_before_it_is_sent(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    visited.page.evaluate(
        "HTMLCanvasElement.prototype.toDataURL = () => `data:image/jpeg;base64,${'A'.repeat(3_000_000)}`"
    )
    shown = visited.page.locator("#images canvas")
    give_files(visited.page, "drop", *[(5, 5, "image/jpeg")] * 3)
    expect(shown).to_have_count(3)
    visited.ask("What are these?")
    give_files(visited.page, "drop", (5, 5, "image/jpeg"))
    expect(shown).to_have_count(1)
    visited.say("And this?")
    note = visited.page.locator("#image-note")
    expect(note).to_contain_text("The images of this conversation are too large for one request. Remove some here,")
    expect(visited.message).to_have_value("And this?")
    expect(shown).to_have_count(1)
    assert len(faulty_router.posts) == 1

    visited.press("Remove image")
    expect(note).to_be_empty()
    visited.message.press("Enter")
    expect(visited.answers).to_have_text(["What are these?", "And this?"])
    give_files(visited.page, "drop", (5, 5, "image/jpeg"))
    expect(shown).to_have_count(1)
    visited.page.get_by_role("button", name="Edit").first.click()
    expect(shown).to_have_count(3)
    visited.press("Remove image")
    visited.message.press("Enter")  # what the question replaces goes, and does not count
    expect(visited.answers).to_have_text(["What are these?"])
    expect(shown).to_have_count(1)
    visited.ask("And this?")
    assert [len(content) for content in contents(faulty_router)[::2]] == [3, 2]
