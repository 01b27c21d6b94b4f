"""The plots of docs/performance.md, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from tables import SIZES

CHARACTERS = (200, 10_000, 100_000, 1_000_000, 8_500_000)
mpl.use("svg")
# Text stays text, and the same figures make the same file.
mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "nomyo", "font.family": "sans-serif", "font.size": 10})
STYLES = {
    "nomyo": {"color": "#0b6e4f", "marker": "o", "linewidth": 2.2},
    "nomyo secret": {"color": "#5fad56", "marker": "s"},
    "by hand": {"color": "#3b5b92", "marker": "^"},
    "nomyo 0.2.9": {"color": "#b3541e", "marker": "v"},
    "bare RSA": {"color": "#777777", "linestyle": "--"},
}


def draw(figures: dict[str, Any], directory: Path) -> None:
    """Draw all plots into a directory."""
    _save(_throughput, figures, directory / "throughput.svg", (6.4, 4.0))
    _save(_seal_open, figures, directory / "seal-open.svg", (9.6, 4.0))


def _save(plot: Any, figures: dict[str, Any], path: Path, size_inches: tuple[float, float]) -> None:
    figure = plt.figure(figsize=size_inches, layout="constrained")
    plot(figure, figures)
    about = figures["about"]
    note = f"{about['machine']}, CPython {about['python']}, commit {about['commit']}"
    figure.supxlabel(note, fontsize=7, color="#666666")
    figure.savefig(path, metadata={"Date": None, "Creator": None})
    plt.close(figure)
    # The library ends lines with spaces.
    path.write_text("".join(line.rstrip() + "\n" for line in path.read_text().splitlines()))


def _throughput(figure: Any, figures: dict[str, Any]) -> None:
    axes = figure.subplots()
    run = figures["throughput"]
    for client in ("nomyo", "by hand", "nomyo 0.2.9"):
        rounds = sorted((r for r in run["rounds"] if r["client"] == client), key=lambda r: r["at_once"])
        axes.plot([r["at_once"] for r in rounds], [r["requests_per_s"] for r in rounds], label=client, **STYLES[client])
    axes.axhline(run["rsa_operations_per_s"], label="RSA-4096 private operations, all cores", **STYLES["bare RSA"])
    at_once = sorted({r["at_once"] for r in run["rounds"]})
    axes.set_xscale("log", base=2)
    axes.set_xticks(at_once, [str(n) for n in at_once])
    axes.set_ylim(bottom=0)
    axes.set_xlabel("requests at once")
    axes.set_ylabel("requests a second")
    _finish(axes)


def _seal_open(figure: Any, figures: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    for axes, operation in ((left, "seal"), (right, "open")):
        groups = {size: figures["micro"][f"{operation} {size}"] for size in SIZES}
        for who in (who for who in STYLES if who in groups["1MB"]):
            times_ms = [groups[size][who] * 1e3 for size in SIZES]
            axes.plot(CHARACTERS, times_ms, label=who, **STYLES[who])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel("text, characters")
        axes.set_ylabel(f"{operation}, ms")
        _finish(axes)


def _finish(axes: Axes) -> None:
    axes.grid(visible=True, color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)
