"""An answer's Markdown, laid out for a terminal: nothing of it is lost, and nothing of it drives the terminal."""

from __future__ import annotations

import asyncio
import io
import re
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn

import pytest
from markdown_it import MarkdownIt
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from nomyo.cli.chat.display import Display
from nomyo.cli.chat.interactive import Interactive
from nomyo.cli.chat.markdown import LONGEST_CHARS, laid_out
from nomyo.cli.chat.one_prompt import ask
from nomyo.cli.chat.request import ChatSettings
from nomyo.client import SecureCompletionClient
from support.format_characters import HARMFUL, KEPT, TROJAN, TROJAN_SHOWN
from support.needles import Text
from support.noting_router import NotingRouter

_STYLES = re.compile(r"\x1b\[[0-9;]*m")
WIDTH = 60
SETTINGS = ChatSettings("m")


class Screen(io.StringIO):
    """A terminal of 60 columns."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"TERM": "xterm-256color", "COLUMNS": str(WIDTH), "LINES": "40"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)


def fail(*_: object, **__: object) -> NoReturn:
    raise ZeroDivisionError


def styled(text: str) -> str:
    shown = laid_out(text, Screen())
    assert shown is not None
    return shown


def words(text: str) -> str:
    return _STYLES.sub("", styled(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\ntwo", "one\ntwo\n"),
        ("**bold** and `code`", "bold and code\n"),
        ("- a\n- b\n  - c", " • a\n • b\n    • c\n"),
        ("3. a\n3. b\n7. c", "\n 3 a\n 3 b\n 7 c\n"),
        ("> quoted", "▌ quoted\n"),
        ("```python\nif x:\n    print(1)  # **no**\n```", "python\nif x:\n    print(1)  # **no**\n"),
        ("[text](https://a.example)", "text (https://a.example)\n"),
        ("![alt](https://a.example/x.png)", "!alt (https://a.example/x.png)\n"),
        ("Vec<String> <b>&lt;</b>\n\n<!-- hidden -->", "Vec<String> <b>&lt;</b>\n\n<!-- hidden -->\n"),
        ("[x]: https://a.example\n\n[//]: # (aside)", "[x]: https://a.example\n\n[//]: # (aside)\n"),
        ("~~not~~", "~~not~~\n"),
        ("[bold]rich's own[/bold] :smile:", "[bold]rich's own[/bold] :smile:\n"),
    ],
)
def test_markdown_is_laid_out_and_all_else_stays(text: str, shown: str) -> None:
    assert words(text).removeprefix("\n") == shown.removeprefix("\n")


def test_styles_are_those_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert styled("**bold**") == "\x1b[1mbold\x1b[0m\n"
    assert "\x1b[1;36;40mcode\x1b[0m" in styled("`code`")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1mcode\x1b[0m" in styled("`code`")
    monkeypatch.setenv("TERM", "dumb")
    assert laid_out("**bold**", Screen()) is None


def test_table_has_its_cells_in_columns() -> None:
    lines = [line.rstrip() for line in words("| name | n |\n|---|---|\n| ann | 1 |\n| bob | 22 |").splitlines()]
    assert [line.split() for line in lines if line.strip(" ─")] == [["name", "n"], ["ann", "1"], ["bob", "22"]]


@pytest.mark.parametrize(
    "frame", ["{}", "`{}`", "```\n{}\n```", "```{}\nx\n```", "- {}", "> {}", "# {}", "|{}|\n|-|\n|{}|", "[{}](x{})"]
)
def test_characters_that_a_terminal_would_obey_are_shown_wherever_they_stand(frame: str) -> None:
    for attack, shown in (("a\x1b]0;t\x07b\x9bc", "a^[]0;t^Gb<9B>c"), ("a\x08\x7fb", "a^H^?b")):
        assert shown in words(frame.replace("{}", attack))
    for each in HARMFUL[::5]:
        text = frame.replace("{}", f"a{each}b")
        seen = styled(text) if laid_out(text, Screen()) is not None else ""
        assert each not in seen


def test_format_characters_are_shown_and_those_that_languages_need_are_kept() -> None:
    assert TROJAN_SHOWN in words(TROJAN)
    assert KEPT in words(KEPT)
    entities = "&#x202e;&#27;[2J &#8238;"
    assert words(entities) == entities + "\n"


def test_links_are_none_for_the_terminal() -> None:
    for text in ("[a](https://b.example)", "<https://b.example/%E2%80%AE>", "![a](https://b.example)"):
        shown = styled(text)
        assert "\x1b]" not in shown
        assert "\u202e" not in shown
        assert "https://b.example" in shown


@pytest.mark.parametrize(
    "text",
    [
        "|a|\n|-|\n|1|a cell too many|",
        '[a](b "title")',
        "> " * 15 + "deep",
        "> " * 50 + "deeper than the parser goes",
        "|a" * 20 + "|\n" + "|-" * 20 + "|\n",
        "x" * (LONGEST_CHARS + 1),
        "**a** " * 8000,
    ],
)
def test_answer_that_would_lose_something_or_take_long_is_shown_as_it_is(text: str) -> None:
    assert laid_out(text, Screen()) is None


@pytest.mark.parametrize("text", ["x" * 200, "- " + "word " * 40, "|a|b|\n|-|-|\n|" + "y" * 90 + "|z|", "漢" * 90])
def test_long_lines_fold_at_the_width_and_lose_nothing(text: str) -> None:
    shown = words(text)
    assert all(len(line) <= WIDTH for line in shown.splitlines())
    assert sorted(filter(str.isalnum, shown)) == sorted(filter(str.isalnum, text))


async def ask_once(client: SecureCompletionClient) -> None:
    await ask(client, SETTINGS, "one", Display(), as_json=False)


async def converse(client: SecureCompletionClient) -> None:
    with create_pipe_input() as keys, create_app_session(input=keys, output=DummyOutput()):
        keys.send_text("one\r/help\r/exit\r")
        await Interactive(client, SETTINGS, Display()).run()


@pytest.mark.parametrize("act", [ask_once, converse])
def test_answer_whose_layout_fails_is_shown_once_as_it_is(
    act: Callable[[SecureCompletionClient], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(url: str) -> None:
        async with SecureCompletionClient(url, allow_http=True) as client:
            await act(client)

    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr(MarkdownIt, "parse", fail)
    with NotingRouter([Text("answer", "**an answer**")]) as router:
        asyncio.run(run(router.url))
    assert screen.getvalue().count("an answer") == screen.getvalue().count("**an answer**\n") == 1
    assert ("/clear" in screen.getvalue()) is (act is converse)  # the conversation went on


@pytest.mark.parametrize("place", ["_parser", "_fits", "_letters", "Console.render_lines", "Console.print"])
def test_layout_may_fail_anywhere(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr(f"nomyo.cli.chat.markdown.{place}", fail)
    Display().show("**an answer**")
    assert screen.getvalue() == "**an answer**\n"


def test_layout_that_cannot_be_imported_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setitem(sys.modules, "nomyo.cli.chat.markdown", None)
    Display().show("**an answer**")
    assert screen.getvalue() == "**an answer**\n"
