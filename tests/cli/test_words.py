"""Words that all commands share: counts, short options, help without types, near names."""

from __future__ import annotations

import re

import pytest
import typer

from nomyo import cli
from nomyo._plurals import counted
from nomyo.batch.progress import Figures, summary_line
from nomyo.cli import demo
from nomyo.cli.chat import command as chat_command
from nomyo.cli.proxy import app as proxy_app
from support.commands import all_commands


def shown_by(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    try:
        code = cli.main(words)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else -1
    assert code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("command", all_commands(), ids=" ".join)
def test_help_is_short_to_ask_for_and_names_no_type_of_python(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown_by([*command, "--help"], capsys)
    assert shown_by([*command, "-h"], capsys) == text
    assert re.search(r"^  -h, --help +Show this message", text, re.MULTILINE)
    assert not re.search(r"<\w", text.replace("<=", ""))


@pytest.mark.parametrize(
    ("app", "name", "short"),
    [(chat_command.app, "model", "-m"), (chat_command.app, "system", "-s"), (proxy_app, "model", "-m")],
)
def test_model_and_system_have_the_short_names_that_users_expect(app: typer.Typer, name: str, short: str) -> None:
    [option] = [each for each in typer.main.get_command(app).params if each.name == name]
    assert option.opts == [f"--{name}", short]


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("cht", "chat"), ("dcotor", "doctor"), ("key", "keys"), ("Proxy", "proxy"), ("batchs", "batch"), ("foo", None)],
)
def test_command_that_there_is_not_is_told_with_the_near_one(
    typed: str, meant: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([typed, "words of a prompt"]) == 2
    told = capsys.readouterr()
    first, *rest = told.err.splitlines()
    near = f"; did you mean `nomyo {meant}`?" if meant else "."
    assert (told.out, first) == ("", f"nomyo: there is no such command{near}")
    assert "Usage: nomyo COMMAND [OPTIONS]" in rest
    assert "of a prompt" not in told.err


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1000, "1,000 rows")], ids=str
)
def test_one_is_no_plural(number: int, words: str) -> None:
    assert counted(number, "row") == words


def test_progress_of_one_row_is_told_in_the_singular() -> None:
    figures = Figures(1, 0, 0)
    figures.add(failed=True, tokens=1)
    assert re.fullmatch(r"1 of 1 row \(100\.0 %\), 1 error, [\d,.]+ rows/s, 1 token, left: .*", summary_line(figures))


def test_message_of_the_demo_that_is_too_short_is_not_looked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two bytes stand in most packages by chance, here in each."""
    monkeypatch.setattr(demo, "_visible", lambda message, package: True)
    told = shown_by(["demo", "--message", "hi"], capsys)
    assert re.search(r"in clear +not looked for: fewer than 8 bytes may stand in ciphertext by chance\n", told)
    assert "FAILED" not in told
