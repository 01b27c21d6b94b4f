"""All commands of `nomyo`, found where each of them is defined; and commands that run in this process."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from unittest.mock import patch

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


def run_here(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, and return what a process of its own would say.

    For tests of words alone: a process spends most of its time on imports. Nothing about signals, descriptors, memory
    or the end of a process can be seen here.
    """
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace") for _ in range(2)]
    with (
        patch.dict(os.environ, environment),
        patch.multiple(sys, stdin=io.StringIO(), stdout=streams[0], stderr=streams[1]),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("default")  # those of the tests make errors of warnings
        try:
            code = entry.main(words)
        except SystemExit as end:
            code = int(end.code or 0)
    stdout, stderr = (stream.buffer.getvalue().decode() for stream in streams)
    return subprocess.CompletedProcess(words, code, stdout, stderr)
