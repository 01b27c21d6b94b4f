"""Figures of a batch as the lines of a table: names to the left, figures to the right, each column aligned."""

from __future__ import annotations

from collections.abc import Mapping


def aligned(figures: Mapping[str, object]) -> list[str]:
    """Return a line for each figure that is not None."""
    shown = {name: _shown(value) for name, value in figures.items() if value is not None}
    names, values = (max(map(len, column), default=0) for column in (shown, shown.values()))
    return [f"{name:<{names}}  {value:>{values}}" for name, value in shown.items()]


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)
