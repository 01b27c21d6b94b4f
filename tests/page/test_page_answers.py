"""What the page shows of an answer: text as text, all of it, and that it is not whole where it is not."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from support.faults import FaultyRouter
from support.odd_answers import answer_with, completion
from support.odd_values import VALUES, answer_with_each
from support.page_scene import Visit, sealed_answer


def test_answer_with_markup_is_shown_as_text(visited: Visit) -> None:
    hostile = (
        '<img src="x" onerror="window.broken = 1"><script>window.broken = 1</script>'
        '<a href="javascript:window.broken = 1">here</a> &lt;b&gt; <iframe srcdoc="x"></iframe>'
    )
    visited.open()
    visited.ask(hostile)

    expect(visited.answers).to_have_text([hostile])
    assert visited.answers.evaluate("(answer) => answer.innerHTML.match(/<[a-z]+/g)") == ["<p"]
    assert visited.page.evaluate("window.broken === undefined")


def test_answer_is_shown_whatever_it_says_of_itself(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    for turn, value in enumerate(VALUES.values()):
        answer_with(faulty_router, answer_with_each(value, f"said {turn}"))
        visited.ask("hello")
        expect(visited.answers.last).to_have_text(f"said {turn}")
    lengths = visited.conversation.locator("dd").evaluate_all("(facts) => facts.map((fact) => fact.textContent.length)")
    assert max(lengths) < 600


@pytest.mark.parametrize(
    ("usage", "shown"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 2**53}, "3 in, unknown out"),
        ({"prompt_tokens": {"toString": 1}, "completion_tokens": 4}, "unknown in, 4 out"),
        ({"prompt_tokens": 0.5, "completion_tokens": -4}, None),
        ([1, 2], None),
        (5, None),
    ],
    ids=str,
)
def test_tokens_are_shown_where_they_are_counts(
    visited: Visit, faulty_router: FaultyRouter, usage: Any, shown: str | None
) -> None:
    answer_with(faulty_router, completion({"content": "so"}, usage=usage))
    visited.open()
    visited.ask("hello")
    expect(visited.answers).to_have_text(["so"])
    facts = " ".join(visited.conversation.locator(".facts:not(.all)").inner_text().split())
    assert ("Tokens" in facts) == (shown is not None)
    assert (shown or "") in facts


def test_answer_with_very_many_parts_is_shown(visited: Visit, faulty_router: FaultyRouter) -> None:
    many = {f"field {number}": number for number in range(150_000)}
    answer_with(faulty_router, completion({"content": "```\n" * 150_000 + "end"}, _metadata=many))
    visited.open()
    visited.ask("hello")
    expect(visited.answers).to_contain_text("end")
    assert visited.page.locator(".facts.all dd").count() <= 200


def test_code_in_an_answer_stands_apart_as_text(visited: Visit) -> None:
    visited.open()
    visited.ask("Like this:\n```python\nif a < b:\n    print('<b>')\n```\nAnd so on.")

    assert visited.answers.locator("code").all_inner_texts() == ["if a < b:\n    print('<b>')"]
    assert visited.answers.locator("p").all_inner_texts() == ["Like this:", "And so on."]
    expect(visited.answers.locator(".code-head span")).to_have_text("python")


def test_long_answer_is_shown_whole_from_its_beginning(visited: Visit) -> None:
    long = "\n".join(f"{number}: a line of a long answer, which goes on and on" for number in range(20_000))
    visited.open()
    visited.message.evaluate("(field, text) => { field.value = text; }", long)
    visited.message.press("Enter")
    visited.answers.wait_for()

    assert visited.answers.text_content() == long
    expect(visited.conversation.get_by_role("heading", name="You")).to_be_in_viewport()
    expect(visited.message).to_be_in_viewport()


@pytest.mark.parametrize(
    ("choice", "words"),
    [
        ({"message": {"content": "cut"}, "finish_reason": "length"}, "The answer was cut off"),
        ({"message": {"content": ""}, "finish_reason": "content_filter"}, "A filter at the model left something out."),
        ({"message": {"content": None}, "finish_reason": "stop"}, "The model answered without text."),
    ],
)
def test_answer_that_is_not_whole_says_so(
    visited: Visit, faulty_router: FaultyRouter, choice: dict[str, Any], words: str
) -> None:
    faulty_router.change = lambda _: sealed_answer(faulty_router, {"id": "1", "model": "m", "choices": [choice]})
    visited.open()
    visited.say("hello")
    expect(visited.conversation.locator(".remark")).to_contain_text(words)


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ([{"type": "text", "text": "in "}, {"type": "thinking"}, {"type": "text", "text": "parts"}], "in parts"),
        ({}, ""),
    ],
)
def test_content_that_is_no_string_is_shown_as_far_as_it_is_text(
    visited: Visit, faulty_router: FaultyRouter, content: Any, shown: str
) -> None:
    choice = {"message": {"content": content}, "finish_reason": "stop"}
    faulty_router.change = lambda _: sealed_answer(faulty_router, {"id": "1", "model": "m", "choices": [choice]})
    visited.open()
    visited.say("hello")
    expect(visited.answers).to_have_text([shown])


@pytest.mark.parametrize("answer", [{"choices": []}, {"id": "no choices"}, {"choices": [{"message": None}]}])
def test_answer_of_another_form_is_a_failure(visited: Visit, faulty_router: FaultyRouter, answer: Any) -> None:
    faulty_router.change = lambda _: sealed_answer(faulty_router, answer)
    visited.open()
    visited.say("hello")
    expect(visited.failure).to_contain_text("The router gave no answer that can be used.")


def test_verdict_on_the_routers_attestation_is_shown_if_there_is_one(
    visited: Visit, faulty_router: FaultyRouter
) -> None:
    forged = {"verdict": "endorsed"}
    sent: list[dict[str, Any]] = [{"attestation": forged}, {"attestation": forged, "tpm_attestation": "none"}]
    for turn, metadata in enumerate(sent):
        answer_with(faulty_router, completion({"content": f"said {turn}"}, _metadata=metadata))
        visited.open()
        visited.ask("hello")
        expect(visited.answers.last).to_have_text(f"said {turn}")
        facts = " ".join(visited.conversation.locator(".facts:not(.all)").last.inner_text().split())
        assert ("TPM" in facts) == ("tpm_attestation" in metadata)
        assert "endorsed" not in visited.conversation.inner_text()
    assert "TPM invalid" in facts
