"""The proxy's page in headless Chromium, before the real proxy and router: what is said, and where it goes."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, expect

from support.faults import Answer, FaultyRouter
from support.needles import Text
from support.noting_router import NotingRouter
from support.page_scene import MODELS, Visit, page_folder, page_proxy, sealed_in, visit

PROMPT = "The patient in room 12 has a fracture of the left scaphoid."
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def test_answer_comes_with_its_metadata(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    visited.page.get_by_label("Tier").select_option("high")
    visited.ask(PROMPT)

    expect(visited.answers).to_have_text([PROMPT])
    facts = visited.conversation.locator(".facts:not(.all)")
    [post] = faulty_router.posts
    for fact in ("Sealed both ways", "Tier high", f"Payload {post.headers['x-payload-id']}", "Tokens 15 in, 15 out"):
        assert fact in " ".join(facts.inner_text().split())
    assert re.search(r"Time \d+\.\d+ s", " ".join(facts.inner_text().split()))
    assert post.headers["x-security-tier"] == "high"

    visited.page.get_by_text("All metadata").click()
    everything = " ".join(visited.conversation.locator(".facts.all").inner_text().split())
    assert "encryption algorithm hybrid-aes256-rsa4096" in everything
    assert "memory protection secure zeroing yes" in everything
    assert "finish reason stop" in everything


def test_network_behind_the_proxy_sees_no_word_of_the_conversation(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    visited.ask(PROMPT)

    [opened] = sealed_in(faulty_router)
    assert opened == {"model": MODELS[0], "messages": [{"role": "user", "content": PROMPT}]}
    for request in faulty_router.received:
        wire = request.body + json.dumps(request.headers).encode()
        assert PROMPT.encode() not in wire
        assert visited.right_token.encode() not in wire


def test_question_goes_with_the_turns_before_it(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    visited.page.get_by_role("combobox", name="Model").select_option(MODELS[1])
    visited.ask("first")
    visited.ask("second")

    assert sealed_in(faulty_router)[-1] == {
        "model": MODELS[1],
        "messages": [
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "first"},
            {"role": "user", "content": "second"},
        ],
    }
    expect(visited.conversation.get_by_text("Reasoning")).to_have_count(2)


def test_protections_and_the_routers_key_are_in_view(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    visited.ask("so that the key is known")

    protections = visited.page.get_by_role("complementary", name="Protections").locator("dl")
    expect(protections.get_by_text(faulty_router.running.fingerprint, exact=True)).to_be_in_viewport()
    for words in ("Sealed for the router", faulty_router.url, "reached over plain HTTP", "memory", "on this machine"):
        expect(protections.get_by_text(words).first).to_be_in_viewport()


def test_change_of_the_routers_key_is_told(browser: Browser, faulty_router: FaultyRouter) -> None:
    with FaultyRouter() as other, page_proxy(faulty_router.url) as proxy, visit(browser, proxy) as visited:
        visited.open()
        visited.ask("with one key")
        expect(visited.page.get_by_text(faulty_router.running.fingerprint, exact=True)).to_be_visible()
        proxy.stop()
        with page_proxy(other.url, "--port", str(proxy.port), token=proxy.token):
            visited.ask("with another")
            expect(visited.page.get_by_text("Router's key has changed")).to_be_visible()
            expect(visited.page.get_by_text(other.running.fingerprint, exact=True)).to_be_visible()


def test_pinned_key_is_told_from_one_that_is_not(visited: Visit, browser: Browser, faulty_router: FaultyRouter) -> None:
    visited.open()
    expect(visited.page.get_by_text("Not pinned: compare it")).to_be_visible()
    pin = ("--server-key-fingerprint", faulty_router.running.fingerprint)
    with page_proxy(faulty_router.url, *pin) as proxy, visit(browser, proxy) as pinned:
        pinned.open()
        expect(pinned.page.get_by_text("Pinned: no other is accepted.")).to_be_visible()


def test_router_that_cannot_be_reached_is_told(browser: Browser, unused_port: int) -> None:
    with page_proxy(f"http://127.0.0.1:{unused_port}") as proxy, visit(browser, proxy) as visited:
        visited.open()
        expect(visited.page.get_by_text("Not known: router unreachable.")).to_be_visible()
        visited.say("hello")
        expect(visited.failure).to_contain_text("The proxy got no answer from the router.")


def test_token_leaves_the_address_and_nothing_is_stored(visited: Visit) -> None:
    visited.open()
    visited.ask(PROMPT)

    assert visited.page.url == f"{visited.proxy.url}/"
    stored = visited.page.evaluate(
        """async () => [localStorage.length, sessionStorage.length, document.cookie, history.state,
            (await caches.keys()).length, (await indexedDB.databases()).length,
            (await navigator.serviceWorker.getRegistrations()).length]"""
    )
    assert stored == [0, 0, "", None, 0, 0, 0]
    assert visited.page.context.cookies() == []
    assert visited.right_token not in visited.page.content()


def test_page_talks_to_the_proxy_alone(visited: Visit) -> None:
    visited.open()
    visited.ask("hello")

    paths = {url.removeprefix(visited.proxy.url) for url in visited.requests}
    assert {"/page.css", "/page.js", "/v1/models", "/nomyo/status", "/v1/chat/completions"} <= paths
    assert all(path.startswith("/") for path in paths)


def test_reload_forgets_the_conversation_and_asks_for_the_token(visited: Visit) -> None:
    visited.open()
    visited.ask(PROMPT)
    visited.page.reload()

    expect(visited.token).to_be_focused()
    assert visited.token.get_attribute("type") == "password"
    assert PROMPT not in visited.page.content()
    for wrong, words in (("two words", "without spaces"), ("wrong", "does not accept this token")):
        visited.token.fill(wrong)
        visited.token.press("Enter")
        expect(visited.page.get_by_role("alert")).to_contain_text(words)
        expect(visited.token).to_be_focused()
    visited.token.fill(visited.right_token)
    visited.token.press("Enter")
    expect(visited.message).to_be_focused()
    visited.ask("again")


def test_whole_address_does_for_the_token(visited: Visit) -> None:
    visited.open("")
    visited.token.fill(f" {visited.proxy.page_url} ")
    visited.token.press("Enter")
    expect(visited.message).to_be_focused()


@pytest.mark.parametrize("fragment", ["#", "#token=", "#token=%", "#token=%FF", "#other=1"])
def test_address_without_a_token_asks_for_it(visited: Visit, fragment: str) -> None:
    visited.open(fragment)
    expect(visited.token).to_be_focused()
    assert visited.page.url.rstrip("#") == f"{visited.proxy.url}/"


def test_token_of_any_signs_is_read_as_it_is(browser: Browser, faulty_router: FaultyRouter) -> None:
    token = "a+b/c=d&e%41#f-ghijklmnop"
    with page_proxy(faulty_router.url, token=token) as proxy, visit(browser, proxy) as visited:
        visited.open(f"#token={quote(token, safe='')}")
        expect(visited.message).to_be_focused()


def test_token_may_come_with_a_later_address(visited: Visit) -> None:
    visited.open("#token=wrong")
    visited.page.goto(visited.proxy.page_url)  # only the fragment changes: the page is not loaded anew
    expect(visited.message).to_be_focused()
    assert visited.page.url == f"{visited.proxy.url}/"


def test_proxy_without_a_token_asks_for_none(browser: Browser, faulty_router: FaultyRouter) -> None:
    with page_proxy(faulty_router.url, "--no-token") as proxy, visit(browser, proxy) as visited:
        visited.open("")
        visited.ask("hello")


def test_model_can_be_named_where_the_proxy_names_none(browser: Browser, faulty_router: FaultyRouter) -> None:
    with page_proxy(faulty_router.url, models=()) as proxy, visit(browser, proxy) as visited:
        visited.open()
        visited.page.get_by_role("textbox", name="Model").fill("my-model")
        visited.ask("hello")
    assert sealed_in(faulty_router)[-1]["model"] == "my-model"


def test_error_is_told_in_words_and_retried_once_asked(visited: Visit, faulty_router: FaultyRouter) -> None:
    visited.open()
    visited.ask("before")
    faulty_router.answers.append(Answer(403, b'{"detail": "this model is not for this tier"}'))
    visited.say(PROMPT)

    expect(visited.failure).to_contain_text("This is not allowed. Choose another model or tier, then retry.")
    expect(visited.failure).to_contain_text("this model is not for this tier")
    visited.failure.get_by_role("button", name="Retry").click()
    expect(visited.answers).to_have_text(["before", PROMPT])
    expect(visited.failure).to_have_count(0)
    expect(visited.message).to_be_focused()
    assert [message["content"] for message in sealed_in(faulty_router)[-1]["messages"]] == ["before", "before", PROMPT]


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (400, {}, "was not accepted"),
        (401, {}, "The router does not accept the proxy's API key. Start the proxy with a valid NOMYO_API_KEY."),
        (404, {}, "is not offered"),
        (429, {"retry-after": "120"}, "Too many requests. Wait 120 seconds, then retry."),
        (503, {"retry-after": "120"}, "The router is not available now. Wait 120 seconds, then retry."),
        (501, {}, "The router gave no answer that can be used."),
    ],
)
def test_each_failure_says_what_to_do(
    visited: Visit, faulty_router: FaultyRouter, status: int, headers: dict[str, str], words: str
) -> None:
    faulty_router.always(Answer(status, headers=headers))
    visited.open()
    visited.say("hello")
    expect(visited.failure).to_contain_text(words)
    expect(visited.message).to_be_focused()


def test_wait_is_as_long_as_the_proxy_says(browser: Browser) -> None:
    with (
        NotingRouter([Text("answer", "at last")]) as router,
        page_proxy(router.url, "--concurrency", "1", "--queue", "0") as proxy,
        visit(browser, proxy) as first,
        visit(browser, proxy) as second,
    ):
        router.conduct = "silent"
        first.open()
        first.say("takes the only place")
        assert router.received.wait(30)
        second.open()
        second.say("finds none")
        expect(second.failure).to_contain_text(re.compile(r"Too many requests\. Wait \d+ seconds, then retry\."))


def test_unanswered_question_is_left_out_of_what_follows(visited: Visit, faulty_router: FaultyRouter) -> None:
    faulty_router.answers.append(Answer(403))
    visited.open()
    visited.say("refused")
    visited.failure.wait_for()
    visited.ask("next")

    assert sealed_in(faulty_router)[-1]["messages"] == [{"role": "user", "content": "next"}]
    expect(visited.failure.get_by_role("button")).to_have_count(0)


def test_proxy_that_is_gone_is_told_from_one_that_lost_its_token(browser: Browser, faulty_router: FaultyRouter) -> None:
    with page_proxy(faulty_router.url) as first, visit(browser, first) as visited:
        visited.open()
        first.stop()
        visited.say("anybody there?")
        expect(visited.failure).to_contain_text("The proxy does not answer. See whether `nomyo proxy` is still running")
        with page_proxy(faulty_router.url, "--port", str(first.port)) as second:
            visited.failure.get_by_role("button", name="Retry").click()
            expect(visited.failure).to_contain_text("does not accept this page's token")
            expect(visited.token).to_be_focused()
            assert second.token
            visited.token.fill(second.token)
            visited.token.press("Enter")
            expect(visited.message).to_be_focused()
            visited.failure.get_by_role("button", name="Retry").click()
            expect(visited.answers).to_have_text(["anybody there?"])


def test_answer_can_be_stopped_and_asked_for_again(browser: Browser) -> None:
    with (
        NotingRouter([Text("answer", "at last")]) as router,
        page_proxy(router.url) as proxy,
        visit(browser, proxy) as visited,
    ):
        router.conduct = "silent"
        visited.open()
        visited.say("take your time")
        assert router.received.wait(30)
        visited.message.fill("typed meanwhile")
        visited.message.press("Enter")  # one at a time: this waits
        visited.page.get_by_role("button", name="Stop").click()
        expect(visited.stopped).to_contain_text("Stopped. The request may have been served all the same, and billed.")
        expect(visited.failure).to_have_count(0)
        expect(visited.message).to_be_focused()
        expect(visited.message).to_have_value("typed meanwhile")
        visited.stopped.get_by_role("button", name="Retry").click()
        expect(visited.stopped).to_have_count(0)
        expect(visited.message).to_be_focused()  # while it is waited for, too
        visited.page.get_by_role("button", name="Stop").click()
        router.conduct = "answer"
        visited.stopped.get_by_role("button", name="Retry").click()
        expect(visited.answers).to_have_text(["at last"])
        assert {len(request["messages"]) for request in router.requests} == {1}


def test_clear_forgets_the_conversation_and_what_is_under_way(browser: Browser) -> None:
    with (
        NotingRouter([Text("answer", "at last")]) as router,
        page_proxy(router.url) as proxy,
        visit(browser, proxy) as visited,
    ):
        visited.open()
        visited.ask("one")
        router.conduct = "silent"
        visited.say("two")
        visited.press("Clear")
        visited.press("Forget it")
        expect(visited.conversation).to_be_empty()
        expect(visited.message).to_be_focused()
        router.conduct = "answer"
        visited.ask("three")
        assert [message["content"] for message in router.requests[-1]["messages"]] == ["three"]


def test_policy_is_strict_and_the_page_small(visited: Visit) -> None:
    response = visited.page.goto(visited.proxy.page_url)
    assert response
    assert response.headers["content-security-policy"] == POLICY
    assert response.headers["cache-control"] == "no-store"
    visited.message.wait_for()

    files = [path for path in page_folder().iterdir() if path.is_file()]
    scripts = [path.stat().st_size for path in files if path.suffix == ".js"]
    assert max(scripts) < 10_000
    assert sum(scripts) < 50_000
    assert sum(path.stat().st_size for path in files) < 70_000
    for path in files:
        addresses = set(re.findall(r"https?://[^\s\"'`<>]+", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path
