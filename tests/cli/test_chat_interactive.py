"""`nomyo chat` as a conversation, typed into a terminal against a router that notes what it is sent."""

from __future__ import annotations

import random
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.faults import FaultyRouter
from support.needles import Text
from support.noting_router import NotingRouter
from support.odd_answers import answer_with, completion
from support.terminal import CTRL_C, CTRL_D, ENTER, ESCAPE, Terminal, in_terminal, plain
from support.waiting import until

ANSWERS = ["first answer", "second answer", "third answer", "fourth answer"]


@pytest.fixture
def router() -> Iterator[NotingRouter]:
    with NotingRouter([Text("answer", answer) for answer in ANSWERS]) as noting:
        yield noting


@contextmanager
def conversation(router: NotingRouter, *options: str, **environment: str) -> Iterator[Terminal]:
    arguments = ["--model", "m", "--base-url", router.url, "--allow-http", "--max-retries", "0", *options]
    with in_terminal("chat", *arguments, env=environment) as terminal:
        terminal.see("/help tells more.")
        terminal.wait_for_prompt()
        yield terminal


def say(terminal: Terminal, text: str, answer: str) -> None:
    terminal.type(text, ENTER)
    terminal.see(f"{answer}\r\n")
    terminal.wait_for_prompt()


def said(router: NotingRouter) -> list[list[str]]:
    return [[message["content"] for message in request["messages"]] for request in router.requests]


def test_conversation_goes_along_with_each_message(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options, "--system", "be brief") as terminal:
        say(terminal, "one", ANSWERS[0])
        say(terminal, "two", ANSWERS[1])
        terminal.type(CTRL_D)
        assert terminal.end()[0] == 0
    assert said(router) == [["be brief", "one"], ["be brief", "one", ANSWERS[0], "two"]]
    assert [message["role"] for message in router.requests[1]["messages"]] == ["system", "user", "assistant", "user"]


def test_clear_begins_another_conversation(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options) as terminal:
        say(terminal, "one", ANSWERS[0])
        say(terminal, "/clear", "Forgotten.")
        say(terminal, "/retry", "Nothing was said yet.")
        say(terminal, "two", ANSWERS[1])
    assert said(router) == [["one"], ["two"]]


def test_retry_asks_for_another_answer_to_the_last_message(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options) as terminal:
        say(terminal, "one", ANSWERS[0])
        say(terminal, "two", ANSWERS[1])
        say(terminal, "/retry", ANSWERS[2])
        say(terminal, "three", ANSWERS[3])
    again = ["one", ANSWERS[0], "two"]
    assert said(router)[2:] == [again, [*again, ANSWERS[2], "three"]]


def test_failed_message_is_not_sent_along_with_the_next_but_again_when_asked(
    router: NotingRouter, key_options: list[str]
) -> None:
    with conversation(router, *key_options) as terminal:
        router.conduct = "unavailable"
        say(terminal, "one", "Failed: the router refused (HTTP 503): as the test wants it. /retry sends it once more.")
        router.conduct = "answer"
        say(terminal, "/retry", ANSWERS[0])
        router.conduct = "wrong tag"
        terminal.type("lost", ENTER)
        terminal.see("Failed: the package cannot be opened")
        router.conduct = "answer"
        terminal.wait_for_prompt()
        terminal.type("two", ENTER)
        terminal.see("answer\r\n")
    assert said(router) == [["one"], ["one"], ["one", ANSWERS[0], "lost"], ["one", ANSWERS[0], "two"]]


def test_ctrl_c_cancels_the_request_and_not_the_program(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options) as terminal:
        router.conduct = "silent"
        for count in (1, 2):
            terminal.type("one", ENTER)
            until(lambda count=count: len(router.requests) == count)  # type: ignore[misc]
            terminal.type(CTRL_C)
            terminal.see("Cancelled. /retry sends it once more.")
            terminal.wait_for_prompt()
        router.conduct = "answer"
        say(terminal, "two", ANSWERS[0])
        terminal.type("half a line", CTRL_C)
        terminal.see("Ctrl-D leaves.")
        terminal.wait_for_prompt()
        say(terminal, "three", ANSWERS[1])
        terminal.type("/exit", ENTER)
        assert terminal.end()[0] == 0
    assert said(router) == [["one"], ["one"], ["two"], ["two", ANSWERS[0], "three"]]


def test_nothing_is_said_to_be_sent_where_no_router_is(unused_port: int, key_options: list[str]) -> None:
    nowhere = ["--base-url", f"http://127.0.0.1:{unused_port}", "--allow-http", *key_options, "--max-retries", "1"]
    with in_terminal("chat", "--model", "m", *nowhere) as terminal:
        terminal.see("/help tells more.")
        terminal.wait_for_prompt()
        terminal.type("one", ENTER)
        shown = plain(terminal.see("Failed: no answer from"))
    assert re.search(r"waiting for the answer; Ctrl-C cancels \(\d+ s\)", shown)
    assert "sent" not in shown


def test_ctrl_c_never_ends_the_conversation_whenever_it_comes(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options) as terminal:
        router.conduct = "unavailable"  # at once: from one prompt to the next it is not far
        for _ in range(40):
            terminal.type("one", ENTER)
            for _ in range(4):
                time.sleep(random.uniform(0, 0.015))
                terminal.process.send_signal(signal.SIGINT)
        router.conduct = "answer"
        time.sleep(0.1)
        terminal.type("two", ENTER)
        shown = terminal.see(f"{ANSWERS[0]}\r\n")
        assert "Traceback" not in shown
        assert "xception" not in shown
        assert terminal.process.poll() is None


def test_ctrl_c_right_after_enter_cancels_the_request(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options) as terminal:
        router.conduct = "silent"
        for _ in range(40):
            terminal.type("one", ENTER)
            time.sleep(random.uniform(0, 0.02))
            terminal.type(CTRL_C)
            assert "xception" not in terminal.see("Cancelled. /retry sends it once more.")
            terminal.wait_for_prompt()
        router.conduct = "answer"
        say(terminal, "two", ANSWERS[0])


def test_ctrl_c_typed_in_one_go_with_enter_cancels_what_was_typed_before_it_alone(
    router: NotingRouter, key_options: list[str]
) -> None:
    with conversation(router, *key_options) as terminal:
        terminal.type("one" + ENTER + CTRL_C + "two" + ENTER)
        terminal.see("Cancelled. /retry sends it once more.")
        terminal.see(f"{ANSWERS[0]}\r\n")
    assert said(router) == [["two"]]


def test_slash_is_a_command_and_never_sent_by_mistake(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options) as terminal:
        say(terminal, "/clera", "nothing was sent. /help lists them.")
        say(terminal, "//etc/passwd", ANSWERS[0])
        say(terminal, "/help", "two: //etc.")
    assert said(router) == [["/etc/passwd"]]


def test_message_may_have_several_lines(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options) as terminal:
        terminal.type("one", ESCAPE + ENTER, "two")
        say(terminal, "", ANSWERS[0])
        pasted = "\x1b[200~three\r\nfour\nfive\x1b[201~"
        say(terminal, pasted, ANSWERS[1])
    assert [request[-1] for request in said(router)] == ["one\ntwo", "three\nfour\nfive"]


def test_empty_line_is_not_sent(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options) as terminal:
        terminal.type(ENTER, "  ", ENTER)
        say(terminal, "one", ANSWERS[0])
    assert said(router) == [["one"]]


def test_info_tells_whom_one_talks_to_and_what_the_last_answer_said(
    router: NotingRouter, key_options: list[str]
) -> None:
    with conversation(router, *key_options, "--tier", "high") as terminal:
        say(terminal, "one", ANSWERS[0])
        terminal.type("/info", ENTER)
        shown = plain(terminal.see("encryption_algorithm"))
    assert re.search(r"its key +SHA256:[A-Za-z0-9+/]{43} \(not pinned\)", shown)
    for words in (router.url, "tier         high", "2 so far", "our memory", "from m", "payload_id"):
        assert words in shown


def test_model_tier_and_system_message_may_be_set_midway(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options) as terminal:
        say(terminal, "one", ANSWERS[0])
        for words, told in (
            ("/model other", "The model is other."),
            ("/tier top", "There are these tiers: "),
            ("/tier HIGH", "The security tier is high."),
            ("/system be brief", "The system message is: be brief"),
        ):
            terminal.type(words, ENTER)
            terminal.see(told)
            terminal.wait_for_prompt()
        say(terminal, "two", ANSWERS[1])
        for words, told in (
            ("/tier", "The security tier is high."),
            ("/tier -", "The security tier is not asked for."),
            ("/system -", "There is no system message."),
            ("/model", "The model is other."),
        ):
            say(terminal, words, told)
        say(terminal, "three", ANSWERS[2])
    before = ["one", ANSWERS[0], "two"]
    assert said(router) == [["one"], ["be brief", *before], [*before, ANSWERS[1], "three"]]
    assert [request["model"] for request in router.requests] == ["m", "other", "other"]


def test_reasoning_is_folded_until_it_is_asked_for(faulty_router: FaultyRouter, key_options: list[str]) -> None:
    message = {"role": "assistant", "content": "**so**", "reasoning_content": "because \x1b[2J\nof this"}
    answer_with(faulty_router, completion(message))
    with in_terminal("chat", "--model", "m", "--base-url", faulty_router.url, "--allow-http", *key_options) as terminal:
        terminal.see("/help tells more.")
        terminal.wait_for_prompt()
        for words, told in (
            ("/reasoning", "There is no reasoning beside the last answer."),
            ("hello", "(reasoned first, 20 characters: /reasoning shows it)"),
            ("/reasoning", "because ^[[2J\r\nof this\r\n"),
        ):
            terminal.type(words, ENTER)
            terminal.see(told)
            terminal.wait_for_prompt()


def test_answer_cannot_drive_the_terminal(key_options: list[str]) -> None:
    with (
        NotingRouter([Text("answer", "a\x1b]0;t\x07b\x9bc")]) as router,
        conversation(router, *key_options) as terminal,
    ):
        say(terminal, "one", "a^[]0;t^Gb<9B>c")


def test_dumb_terminal_is_enough(router: NotingRouter, key_options: list[str]) -> None:
    with conversation(router, *key_options, TERM="dumb") as terminal:
        terminal.type("one", ENTER)
        shown = terminal.see(f"{ANSWERS[0]}\r\n")
        terminal.wait_for_prompt()
        terminal.type("/clear", ENTER)
        shown += terminal.see("Forgotten.")
        terminal.wait_for_prompt()
        terminal.type(CTRL_D)
        code, rest = terminal.end()
    assert code == 0
    assert "\x1b" not in shown + rest


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {}])
def test_no_color_means_no_colour(variables: dict[str, str], key_options: list[str]) -> None:
    with (
        NotingRouter([Text("answer", "> quoted")]) as router,
        conversation(router, *key_options, **variables) as terminal,
    ):
        terminal.type("one", ENTER)
        shown = terminal.see("quoted")
    coloured = re.search(r"\x1b\[[0-9;]*3[0-7]m", shown) is not None
    assert coloured is ("NO_COLOR" not in variables)


def test_conversation_needs_a_terminal_and_people(router: NotingRouter, tmp_path: Path, key_options: list[str]) -> None:
    arguments = ["chat", "--model", "m", "--base-url", router.url, "--allow-http", *key_options, "--json"]
    with in_terminal(*arguments) as terminal:
        code, shown = terminal.end()
    assert code == 2
    assert "--json needs a prompt" in shown
