"""`nomyo models`: the models that `nomyo proxy` would list with the same options and variables."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from nomyo._finite_json import ascii_json
from nomyo._terminal_text import visible_line
from nomyo.cli.command_app import bad_option, command_app, manual, report, run
from nomyo.cli.model_options import MODEL_VARIABLE, PROXY_MODEL_VARIABLES, Aliases, Models, names_of_models
from nomyo.serve.proxy.model_names import Alias, ModelNames, model_objects

NAME: Final = "nomyo models"
app = command_app()
_MANUAL = manual(
    examples={
        "nomyo models": "What NOMYO_PROXY_MODELS and NOMYO_MODEL offer:",
        "nomyo models --alias 'claude-*=Qwen/Qwen3-0.6B' --json": "As a program sees it at /v1/models:",
    },
    exit_codes={
        0: "The models were printed.",
        1: "They could not be written.",
        2: "The command cannot be run as asked.",
    },
    environment={**PROXY_MODEL_VARIABLES, **MODEL_VARIABLE},
)


def main(arguments: Sequence[str]) -> int:
    """Run the command; leaves with SystemExit, as click does."""
    return run(app, arguments, NAME)


@app.command(cls=_MANUAL)
def models(
    model: Models = None,
    alias: Aliases = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print them as /v1/models answers.")] = False,
) -> None:
    """Print the models that `nomyo proxy` lists with these options and variables.

    The router has no list: the proxy lists what it is told. Aliases that end with * are printed as NAME*=MODEL, and are
    in no list. Nothing is asked over the network.
    """
    try:
        names = ModelNames(names_of_models(model), tuple(map(Alias.parse, names_of_models(alias))))
    except ValueError as error:
        raise bad_option(error, {}) from None
    if as_json:
        print(ascii_json({"object": "list", "data": model_objects(names.listed, int(time.time()))}))
        return
    for name in [*names.listed, *(str(each) for each in names.aliases if each.is_pattern)]:
        print(visible_line(name))
    if not names.listed:
        report(NAME, "no model is named: --model, NOMYO_PROXY_MODELS or NOMYO_MODEL does it")
