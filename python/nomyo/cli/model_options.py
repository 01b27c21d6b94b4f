"""The options that name models, and the models that commands around the proxy offer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final, TypeAlias

import typer

from nomyo.cli.utf8_argument import utf8_argument

_MODEL: Final = "NOMYO_MODEL"
_MODELS: Final = "NOMYO_PROXY_MODELS"
_ALIASES: Final = "NOMYO_PROXY_ALIASES"

MODEL_VARIABLE: Final = {_MODEL: "The model, if --model does not name it."}
PROXY_MODEL_VARIABLES: Final = {
    _MODELS: f"As --model, separated by spaces; if it is not set, {_MODEL} counts.",
    _ALIASES: "As --alias, separated by spaces.",
}

Model: TypeAlias = Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help="The model's ID.", envvar=_MODEL)]
Models: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="A model that /v1/models lists; repeatable, in the variable separated by spaces.",
        envvar=[_MODELS, _MODEL],
    ),
]
Aliases: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--alias",
        metavar="NAME=MODEL",
        help="A name under which programs ask for MODEL; a * at its end stands for any end. Repeatable.",
        envvar=_ALIASES,
    ),
]


def names_of_models(given: Iterable[str] | None) -> tuple[str, ...]:
    """Return what `--model` or `--alias` was given, as UTF-8."""
    return tuple(utf8_argument("a model's name", name) for name in given or ())
