"""The part of the page that comes from the commands: their usage, arguments and options."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import typer

from nomyo.cli.entry import _COMMANDS
from reference_page.markdown import blocks, code, fenced, table


def commands() -> Iterator[tuple[str, str]]:
    """Yield each command as it is typed, and the text below its heading."""
    for name, command in _COMMANDS.items():
        module = import_module(command.module)
        if not hasattr(module, "app"):
            yield f"nomyo {name}", blocks(f"{command.summary}.", fenced(module._HELP, ""))  # noqa: SLF001 - its help
            continue
        yield from _with_subcommands(f"nomyo {name}", typer.main.get_command(module.app))
        for below, app in getattr(module, "SUBCOMMANDS", {}).items():
            yield from _with_subcommands(f"nomyo {name} {below}", typer.main.get_command(app))


def _with_subcommands(name: str, command: Any) -> Iterator[tuple[str, str]]:
    yield name, _text(name, command)
    for below, subcommand in getattr(command, "commands", {}).items():
        yield f"{name} {below}", _text(f"{name} {below}", subcommand)


def _text(name: str, command: Any) -> str:
    context = command.context_class(command, info_name=name)
    rows = [_row(each, context) for each in command.params if not getattr(each, "hidden", False)]
    return blocks(
        fenced(" ".join([name, *command.collect_usage_pieces(context)]), "sh"),
        command.help.strip(),
        table(("option", "value", "default", "meaning"), rows),
    )


def _row(option: Any, context: Any) -> tuple[str, ...]:
    """Return what the command's help says of an option, in columns."""
    shown, told = option.get_help_record(context)
    first = re.match(r"(--?[\w-]+(, | / ))*\S+", shown)
    assert first
    names = ", ".join(code(name) for name in re.split(", | / ", first[0]))
    value = shown.removeprefix(first[0]).strip()
    meaning, _, facts = told.removesuffix("]").rpartition("  [") if told.endswith("]") else (told, "", "")
    bounds = [code(fact) for fact in facts.split("; ") if re.search("<=|>=", fact)]
    variables = [option.envvar] if isinstance(option.envvar, str) else option.envvar or []
    variable = f" The variable {' or '.join(map(code, variables))} sets it, too." if variables else ""
    return names, code(value), _default(option), " ".join([meaning, *bounds]) + variable


def _default(option: Any) -> str:
    if option.required:
        return "required"
    default = getattr(option.default, "value", option.default)
    return "" if default is None or default is False else code(str(default))
