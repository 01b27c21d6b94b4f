"""The options of `nomyo batch` that bound what it takes: tokens a minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

OPTION_NAMES: Final = {"tokens_per_min": "--token-rate"}
"""What the library calls otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitOptions:
    """The bounds of a batch."""

    token_rate: Annotated[
        int | None,
        typer.Option(metavar="N", help="Tokens a minute, of prompts and answers together; no limit by default."),
    ] = None

    def of_rates(self) -> dict[str, Any]:
        """Return the rates as `Limits` takes them."""
        return {"tokens_per_min": self.token_rate}
