"""How the plots of docs/performance.md look."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

mpl.use("svg")
# Text stays text, and the same figures make the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "nomyo", "font.family": "sans-serif", "font.size": 10})
STYLES: dict[str, dict[str, Any]] = {
    "nomyo": {"color": "#0b6e4f", "marker": "o", "linewidth": 2.2},
    "nomyo secret": {"color": "#5fad56", "marker": "s"},
    "by hand": {"color": "#3b5b92", "marker": "^"},
    "nomyo 0.2.9": {"color": "#b3541e", "marker": "v"},
    "bare RSA": {"color": "#777777", "linestyle": "--"},
}
Figures = dict[str, Any]


def save(plot: Callable[[Any, Figures], None], figures: Figures, path: Path, size_inches: tuple[float, float]) -> None:
    """Draw a plot into a file, with the machine and the commit below it."""
    figure = plt.figure(figsize=size_inches, layout="constrained")
    plot(figure, figures)
    about = figures["about"]
    note = f"{about['machine']}, CPython {about['python']}, commit {about['commit']}"
    figure.supxlabel(note, fontsize=7, color="#666666")
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    # The library ends lines with spaces.
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))


def finish(axes: Axes, across: str, up: str, *, log_up: bool = False) -> None:
    """Name the axes of a plot, and add its legend."""
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    if log_up:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
