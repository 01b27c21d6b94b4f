"""All commands of `nomyo`, found where each of them is defined."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import typer

from nomyo.cli import entry


def all_commands() -> list[list[str]]:
    """Return the words of each command that has help of its own, which groups and `doctor` have, too."""
    return [words for name in entry._COMMANDS for words in _commands_of(name)]


def commands_with_manual() -> list[list[str]]:
    """Return the words of each command but groups and `doctor`: its help has all sections of a man page."""
    every = all_commands()
    groups = [words for words in every if words != ["batch"] and any(words == other[:-1] for other in every)]
    return [words for words in every if words not in [*groups, ["doctor"]]]


def _commands_of(name: str) -> Iterator[list[str]]:
    module = import_module(entry._COMMANDS[name].module)
    yield [name]
    app = getattr(module, "app", None)
    within = {} if app is None else getattr(typer.main.get_command(app), "commands", {})
    for each in [*within, *getattr(module, "SUBCOMMANDS", {})]:
        yield [name, each]
