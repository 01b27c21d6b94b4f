"""The options of `nomyo batch` for tables: what their rows ask, and which columns the output has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from nomyo._finite_json import text_json
from nomyo._terminal_text import visible_line
from nomyo.batch.data.options import DataOptions
from nomyo.batch.records import Row

OPTION_NAMES: Final = {
    # `model`, `system` and `template` are words, too: they are options only in these phrases.
    "model, system and parameters": "--model, --system and --param",
    "model is needed": "--model is needed",
    "messages_column and template": "--messages-column and --template",
    "messages_column or template": "--messages-column or --template",
    "template:": "--template:",
    "prompt_column": "--prompt-column",
    "messages_column": "--messages-column",
    "seal_input_columns": "--seal-input-columns",
    "parameters": "--param",
    "journal": "--journal",
    "columns": "--columns",
    "encrypt_to": "--encrypt-to",
}
"""The options that have other names in the library."""
_SHOWN_CHARACTERS: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """The options for rows that are no requests in OpenAI's batch format yet."""

    prompt_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column with the prompts, of a table as IN.")
    ] = None
    messages_column: Annotated[
        str | None, typer.Option(metavar="NAME", help="The column with lists of messages, or with their JSON.")
    ] = None
    template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A Jinja2 template that makes prompts of columns.")
    ] = None
    system: Annotated[str | None, typer.Option(metavar="TEXT", help="The system message of all rows.")] = None
    model: Annotated[str | None, typer.Option("--model", "-m", metavar="NAME", help="The model of all rows.")] = None
    param: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="A parameter of all requests, as JSON or text; repeatable."),
    ] = None
    columns: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="The columns of OUT, with commas between; NEW=NAME gives a new name."),
    ] = None
    journal: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="What keeps the answers until OUT is written; OUT.journal by default."),
    ] = None
    seal_input_columns: Annotated[
        bool, typer.Option("--seal-input-columns", help="With --encrypt-to, seal the columns of IN in OUT, too.")
    ] = False

    def of_library(self) -> DataOptions | None:
        """Return them as the library takes them; None if none is given.

        Raises:
            ValueError: They contradict each other.
        """
        if all(getattr(self, each.name) in (each.default, []) for each in fields(self)):
            return None
        return DataOptions(
            prompt_column=self.prompt_column,
            messages_column=self.messages_column,
            template=self.template,
            system=self.system,
            model=self.model,
            parameters=dict(map(_parameter, self.param or ())),
            columns=None if self.columns is None else [word for word in self.columns.split(",") if word],
            journal=self.journal,
            seal_input_columns=self.seal_input_columns,
        )


def _parameter(word: str) -> tuple[str, Any]:
    name, equals, value = word.partition("=")
    if not name or not equals:
        raise ValueError(f"--param must be NAME=VALUE, and one is {word!r}")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):  # text need not stand between quotes
        return name, value


def request_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Yield a line for each of some requests, as they would be sealed; a long one is cut."""
    for row in rows:
        text = text_json(row.body)
        cut = f"... ({len(text):,} characters)" if len(text) > _SHOWN_CHARACTERS else ""
        yield f"  {visible_line(row.custom_id)}: {visible_line(text[:_SHOWN_CHARACTERS])}{cut}"
