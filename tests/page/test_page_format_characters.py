"""Characters that steer what is shown: the page shows foreign words with escapes for them."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from support.faults import FaultyRouter
from support.format_characters import HARMFUL, KEPT, TROJAN, TROJAN_SHOWN
from support.odd_answers import answer_with, completion
from support.page_scene import Visit
from support.peer import open_with


def test_page_shows_format_characters_of_an_answer(visited: Visit, faulty_router: FaultyRouter) -> None:
    answer = "|".join([*HARMFUL, KEPT, TROJAN])
    answer_with(
        faulty_router, completion({"role": "assistant", "content": f"{answer}\n```\n{TROJAN}\n```"}, model=TROJAN)
    )
    visited.open()
    visited.ask("hello")

    shown = visited.answers.locator("p, code").all_text_contents()
    escaped = [rf"\u{{{ord(each):x}}}" for each in HARMFUL]
    trojan = re.sub(r"\\u(....)", r"\\u{\1}", TROJAN_SHOWN)
    assert shown == ["|".join([*escaped, KEPT, trojan]), trojan]
    expect(visited.conversation.locator(".answer h2")).to_have_text(trojan)
    assert "\u202e" not in visited.conversation.evaluate("(all) => all.textContent")


def test_page_sends_an_answer_back_as_it_came(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    visited.ask(TROJAN)  # the echo model repeats it
    visited.ask("second")

    sent = open_with(faulty_router.private_key_pem, faulty_router.posts[1].body)
    assert [message["content"] for message in sent["messages"]] == [TROJAN, TROJAN, "second"]


@pytest.mark.parametrize(("text", "is_rtl"), [("שלום, עולם.", True), ("hello, world.", False)])
def test_page_shows_a_paragraph_from_the_side_that_its_language_begins_at(
    visited: Visit, text: str, is_rtl: bool
) -> None:
    visited.open()
    visited.ask(text)

    middle = """(answer) => {
        const range = document.createRange();
        range.setStart(answer.firstChild, 0);
        range.setEnd(answer.firstChild, 1);
        const first = range.getBoundingClientRect(), whole = answer.getBoundingClientRect();
        return (first.left + first.right) / 2 > (whole.left + whole.right) / 2;
    }"""
    assert visited.answers.evaluate(middle) is is_rtl
