"""Values on the command line: read without pydantic where they are plain, and always as typer reads them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer

from nomyo import cli
from nomyo.cli import entry
from nomyo.cli.plain_values import read_plain_values
from support.process import run_python

NUMBERS = ["0", "1", "7", " 7", "7 ", "-1", "+1", "0.5", ".5", "1e3", "nan", "1_000", "70000", "9" * 30, "\u0663"]
WORDS = [
    "",
    " ",
    "text",
    "\u00fc\u20ac",
    "\udcff",
    "check",
    "CHECK",
    "standard",
    "debug",
    "in.jsonl",
    "missing/file",
    "true",
]
VALUES = [*NUMBERS, *WORDS]


def parameters() -> dict[str, Any]:
    """Return the parameters of all commands, one for each way in which values are read."""
    found: dict[str, Any] = {}

    def note(command: Any) -> None:
        for each in command.params:
            found.setdefault(str(each.type.name if hasattr(each, "type") else vars(each.type_descriptor)), each)
        for within in getattr(command, "commands", {}).values():
            note(within)

    for command in entry._COMMANDS.values():
        if app := getattr(import_module(command.module), "app", None):
            note(typer.main.get_command(app))
    return found


def read_by(parameter: Any, read: Any, value: Any) -> str:
    context = typer.Context(typer.main.get_command(typer.Typer(callback=lambda: None)))
    try:
        outcome = read(context, value)
    except typer.BadParameter as error:
        return f"refused: {error.message}"
    return f"{type(outcome).__name__} {outcome!r}"


def test_every_value_is_read_as_typer_reads_it() -> None:
    Path("in.jsonl").touch()
    found = parameters()
    assert len(found) > 5
    for parameter in found.values():
        by_typer = type(parameter).process_value
        (plainly,) = read_plain_values([parameter])
        for value in VALUES:
            given = [value] if parameter.multiple or parameter.nargs == -1 else value
            expected = read_by(parameter, by_typer.__get__(parameter), given)
            assert read_by(parameter, plainly.process_value, given) == expected, (parameter.name, value)


def test_usual_command_lines_need_no_pydantic(key_directory: Path) -> None:
    program = """
import os, sys
from nomyo.cli import main
os.environ["NOMYO_API_KEY"] = "key"
for words in (["keys", "show"], ["batch", "missing", "-o", "o", "--timeout", "2.5"]):
    try:
        main([*words, "--key-dir", sys.argv[1]])
    except SystemExit:
        pass
print("pydantic" in sys.modules)
"""
    assert run_python(program, str(key_directory)).stdout.splitlines()[-1] == "False"


def test_refused_value_has_no_words_of_pydantic(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["chat", "hello", "--model", "m", "--attestation", "foo"])
    assert end.value.code == 2
    told = capsys.readouterr().err
    assert "Invalid value for '--attestation': 'foo' is not one of 'ignore', 'check', 'require'" in told
