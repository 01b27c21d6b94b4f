"""The plots of docs/performance.md, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from goals import SIZES
from growth_plots import draw_growth
from plot_style import STYLES, finish, save

CHARACTERS = (200, 10_000, 100_000, 1_000_000, 8_500_000)


def draw(figures: dict[str, Any], directory: Path) -> None:
    """Draw all plots into a directory."""
    save(_throughput, figures, directory / "throughput.svg", (6.4, 4.0))
    save(_seal_open, figures, directory / "seal-open.svg", (9.6, 4.0))
    draw_growth(figures, directory)


def _throughput(figure: Any, figures: dict[str, Any]) -> None:
    axes = figure.subplots()
    run = figures["throughput"]
    for client in ("nomyo", "by hand", "nomyo 0.2.9"):
        rounds = sorted((r for r in run["rounds"] if r["client"] == client), key=lambda r: int(r["at_once"]))
        axes.plot([r["at_once"] for r in rounds], [r["requests_per_s"] for r in rounds], label=client, **STYLES[client])
    axes.axhline(run["rsa_operations_per_s"], label="RSA-4096 private operations, all cores", **STYLES["bare RSA"])
    at_once = sorted({r["at_once"] for r in run["rounds"]})
    axes.set_xscale("log", base=2)
    axes.set_xticks(at_once, [str(n) for n in at_once])
    finish(axes, "requests at once", "requests a second")


def _seal_open(figure: Any, figures: dict[str, Any]) -> None:
    left, right = figure.subplots(1, 2)
    for axes, operation in ((left, "seal"), (right, "open")):
        groups = {size: figures["micro"][f"{operation} {size}"] for size in SIZES}
        for who in (who for who in STYLES if who in groups["1MB"]):
            times_ms = [groups[size][who] * 1e3 for size in SIZES]
            axes.plot(CHARACTERS, times_ms, label=who, **STYLES[who])
        axes.set_xscale("log")
        finish(axes, "text, characters", f"{operation}, ms", log_up=True)
