"""Completion in the shell, by typer's own means, over commands that are otherwise found one by one.

Only the module of the command that is being typed is imported. A command whose extra is missing completes as a name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, Final, Protocol

import typer

VARIABLE: Final = "_NOMYO_COMPLETE"
OPTIONS: Final = ("--install-completion", "--show-completion")


class Command(Protocol):
    """What completion needs to know of a command."""

    @property
    def module(self) -> str:
        """Has a typer application `app`, unless it needs no extra."""

    @property
    def summary(self) -> str:
        """One line on what it does."""


def main(arguments: Sequence[str], commands: Mapping[str, Command]) -> int:
    """Install or show the script for a shell, or complete a line for such a script; leaves with SystemExit."""
    if arguments[0] in OPTIONS and len(arguments) > 1:
        # So that typer takes the shell's name from there (its completion.py); else it is the one that called us.
        os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    root: Any = typer.main.get_command(_root(commands))
    typed = _typed_command()
    if typed in commands and (real := _load(commands[typed])) is not None:
        root.commands[typed] = real
    root.main(args=list(arguments), prog_name="nomyo")
    return 0


def _root(commands: Mapping[str, Command]) -> typer.Typer:
    root = typer.Typer(rich_markup_mode=None, pretty_exceptions_enable=False)

    @root.callback()
    def nomyo(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None: ...

    for name, command in commands.items():
        _add(root, name, command)
    return root


def _add(root: typer.Typer, name: str, command: Command) -> None:
    @root.command(name, help=command.summary)
    def stand_in(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None: ...


def _typed_command() -> str:
    """Return the second word of the line that the shell wants completed."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    return [*line.split(), "", ""][1]


def _load(command: Command) -> Any:
    try:
        app = getattr(import_module(command.module), "app", None)
    except ImportError:  # its extra is missing
        return None
    return app and typer.main.get_command(app)
