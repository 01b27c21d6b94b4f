"""Shell completion by typer, over commands that are otherwise imported one by one.

Only the module of the command that is being typed is imported. A command whose extra is missing completes as a name.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Annotated, Any, Final, Protocol

import typer
from typer.core import TyperGroup

OPTIONS: Final = ("--install-completion", "--show-completion")


class Command(Protocol):
    """What completion needs to know of a command."""

    @property
    def module(self) -> str:
        """The command's module. It has a typer application `app` if it needs an extra, and may have `SUBCOMMANDS`."""

    @property
    def extra(self) -> str | None:
        """The extra that it needs."""

    @property
    def summary(self) -> str:
        """What the command does, in one line."""


def main(arguments: Sequence[str], commands: Mapping[str, Command]) -> int:
    """Install or show the script for a shell, or complete a line for such a script; leaves with SystemExit."""
    if arguments[0] in OPTIONS and len(arguments) > 1:
        # Typer takes the shell's name from this argument (its completion.py), or else detects the shell that runs us.
        os.environ["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    root: Any = typer.main.get_command(_root(commands))
    typed, next_typed = _typed_commands()
    if typed in commands and (real := _load(commands[typed], next_typed)) is not None:
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
    if command.extra is None:  # `nomyo doctor`, which has no application, as it needs no extra
        root.command(name, help=command.summary)(_doctor)
        return

    @root.command(name, help=command.summary)
    def stand_in(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None: ...


def _doctor(
    of_self: Annotated[bool, typer.Option("--self", help="Examine this copy of nomyo.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None: ...


def _typed_commands() -> tuple[str, str]:
    """Return the second and the third word of the line that the shell wants completed."""
    line = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS") or ""
    _, first, second, *_ = [*line.split(), "", "", ""]
    return first, second


def _load(command: Command, next_typed: str) -> Any:
    """Return a command; as a group if the next word is a subcommand, which its `main` finds by that word."""
    try:
        module = import_module(command.module)
    except ImportError:  # its extra is missing
        return None
    app = getattr(module, "app", None)
    below = getattr(module, "SUBCOMMANDS", {}).get(next_typed)
    if below is not None:
        return TyperGroup(commands={next_typed: typer.main.get_command(below)})
    return app and typer.main.get_command(app)
