"""Help that a man page could print: whole, plain, and no wider than the terminal."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys

import pytest

from nomyo import cli
from nomyo.cli import entry
from support.commands import commands_with_manual, run_here
from support.process import output_of
from support.terminal import in_terminal

COMMANDS = commands_with_manual()
IDS = [" ".join(command) for command in COMMANDS]
OPTION = re.compile(r"^  (?:-[a-z], )?(--[a-z-]+)", re.MULTILINE)


def help_of(command: list[str], columns: int = 80) -> str:
    return _help_of(tuple(command), columns)


@functools.cache
def _help_of(command: tuple[str, ...], columns: int) -> str:
    """Return what a command prints; many tests read the same text."""
    done = run_here(*command, "--help", COLUMNS=str(columns))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("columns", [60, 200])
def test_process_prints_the_same_help(columns: int) -> None:
    for command in (["doctor"], ["chat"], ["keys", "check"]):
        done = subprocess.run(
            [sys.executable, "-m", "nomyo", *command, "--help"],
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ | {"COLUMNS": str(columns)},
            check=False,
        )
        assert (done.returncode, done.stderr, done.stdout) == (0, "", help_of(command, columns))


def section(text: str, title: str) -> str:
    found = re.search(rf"^{title}:\n((?:  .*\n|\n)+)", text + "\n", re.MULTILINE)
    assert found, f"there is no section {title!r}"
    return found[1]


def test_commands_of_all_kinds_are_looked_at() -> None:
    assert {command[0] for command in COMMANDS} | {"doctor"} == set(entry._COMMANDS)
    assert ["batch", "open"] in COMMANDS
    assert ["keys", "generate"] in COMMANDS


@pytest.mark.parametrize("command", COMMANDS, ids=IDS)
def test_help_has_the_sections_of_a_man_page(command: list[str]) -> None:
    text = help_of(command)
    assert text.startswith(f"Usage: nomyo {' '.join(command)} [OPTIONS]")
    assert re.match(r"Usage: .*\n\n  [A-Z]", text), "there is no description"
    assert f"nomyo {' '.join(command)}" in section(text, "Examples")
    assert {"0", "1", "2"} <= set(re.findall(r"^  (\d+) ", section(text, "Exit codes"), re.MULTILINE))


@pytest.mark.parametrize("command", [["keys"], ["trust"], ["doctor"]], ids=["keys", "trust", "doctor"])
def test_help_of_a_group_and_of_the_command_without_extras_has_these_sections_too(command: list[str]) -> None:
    text = help_of(command)
    assert f"nomyo {command[0]}" in section(text, "Examples")
    assert {"0", "1", "2"} <= set(re.findall(r"^  (\d+) ", section(text, "Exit codes"), re.MULTILINE))
    assert section(text, "Options")
    assert section(text, "Files")
    assert max(map(len, text.splitlines())) <= 80


def test_help_waits_for_no_library_that_only_the_work_needs() -> None:
    program = """
import sys
from nomyo.cli import main
for words in (["--help"], ["keys", "show", "--help"], ["chat", "--help"]):
    try:
        main(words)
    except SystemExit as end:
        assert not end.code
print(sorted({"aiohttp", "asyncio", "httpcore", "httpx", "nomyo.client", "starlette", "uvicorn"} & set(sys.modules)))
"""
    assert output_of(program).splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS, ids=IDS)
def test_every_option_is_described(command: list[str]) -> None:
    options = section(help_of(command, columns=200), "Options")
    for line in options.splitlines():
        # At this width, the names of an option and its words are on one line, or on two.
        names = re.match(r"^  (-[a-z], )?--[a-z-]+( \S+)*?  +\S|^  --[a-z-]+(, --[a-z-]+)? \S+$", line)
        assert names or line.startswith(" " * 10) or not line, line
    assert "--json" in OPTION.findall(options)


@pytest.mark.parametrize("columns", [52, 60, 80, 100])
@pytest.mark.parametrize("command", COMMANDS, ids=IDS)
def test_prose_wraps_at_the_width_of_the_terminal(command: list[str], columns: int) -> None:
    text = help_of(command, columns)
    # click's least width is 50. Lines that are typed, and the names of options, stay in one piece.
    prose = [line for line in text.splitlines() if not re.match(r"^ +(--|.*nomyo .*[-|>])|^ +DIR/", line)]
    assert [line for line in prose if len(line) > columns] == []


@pytest.mark.parametrize("command", COMMANDS, ids=IDS)
def test_examples_fit_into_eighty_columns(command: list[str]) -> None:
    assert [line for line in section(help_of(command), "Examples").splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
@pytest.mark.parametrize("command", [["chat"], ["keys", "check"], ["router"]], ids=["chat", "keys check", "router"])
def test_help_is_plain_text_in_a_terminal_too(command: list[str], term: str) -> None:
    with in_terminal(*command, "--help", env={"TERM": term}, columns=80) as terminal:
        code, text = terminal.end()
    assert (code, "\x1b" in text) == (0, False)


def test_no_option_takes_a_secret_of_the_client() -> None:
    for command in (command for command in COMMANDS if command[0] not in ("demo", "proxy", "router")):
        options = OPTION.findall(help_of(command))
        assert not {"--api-key", "--password", "--new-password"} & set(options)


def test_help_by_name_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["help", "chat"])
    by_name = capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["chat", "--help"])
    assert by_name == capsys.readouterr().out
    with pytest.raises(SystemExit):
        cli.main(["help", "keys", "show"])
    assert capsys.readouterr().out.startswith("Usage: nomyo keys show ")
    assert cli.main(["help", "doctor"]) == 0
    assert "Usage: nomyo doctor" in capsys.readouterr().out


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    shown = capsys.readouterr().out
    for name, command in entry._COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(command.summary)}$", shown, re.MULTILINE)
    assert max(map(len, shown.splitlines())) <= 80


def test_demo_tells_the_same_as_json() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nomyo", "demo", "--json", "--message", "hello"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert (told["message"], told["reply"], told["failure"]) == ("hello", "hello", None)
    assert told["looked_for"] is False  # so few bytes may stand in ciphertext by chance
    assert told["fingerprint"].startswith("SHA256:")
    assert min(value for name, value in told.items() if name.endswith(("_ms", "_bytes"))) > 0


def test_router_announces_itself_as_json() -> None:
    command = [sys.executable, "-m", "nomyo", "router", "--port", "0", "--key-bits", "2048", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout
            ready = json.loads(process.stdout.readline())
        finally:
            process.kill()
    assert set(ready) == {"event", "url", "fingerprint"}
    assert (ready["event"], ready["url"][:17], ready["fingerprint"][:7]) == ("ready", "http://127.0.0.1:", "SHA256:")
