"""The plots of docs/performance.md that show how cost grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from growth_tables import of_variant
from plot_style import STYLES, finish, save

Figures = dict[str, Any]
VARIANTS = {
    "asyncio": STYLES["by hand"],
    "asyncio with aiofastnet": STYLES["nomyo secret"],
    "uvloop alone": STYLES["nomyo 0.2.9"],
    "uvloop with aiofastnet": STYLES["nomyo"],
}
RUNS = {"dry run": STYLES["by hand"], "resumed": STYLES["nomyo secret"], "sent": STYLES["nomyo"]}


def draw_growth(figures: Figures, directory: Path) -> None:
    """Draw these plots into a directory."""
    save(_connections, figures, directory / "connections.svg", (9.6, 6.4))
    save(_rows, figures, directory / "rows.svg", (9.6, 4.0))
    save(_processes, figures, directory / "processes.svg", (9.6, 4.0))
    save(_sizes, figures, directory / "answer-sizes.svg", (9.6, 4.0))


def _connections(figure: Any, figures: Figures) -> None:
    rounds = figures["connections"]["rounds"]
    for axes, (figure_name, unit, up) in zip(
        figure.subplots(2, 2).flat,
        (
            ("peak_kib_warm", 1024, "memory of the process, MiB"),
            ("cpu_ms_per_request", 1, "processor time of a request, ms"),
            ("stall_p99_ms", 1, "stall of the event loop, p99, ms"),
            ("requests_per_s", 1, "requests a second"),
        ),
        strict=True,
    ):
        for variant, style in VARIANTS.items():
            taken = of_variant(rounds, variant)
            axes.plot([r["at_once"] for r in taken], [r[figure_name] / unit for r in taken], label=variant, **style)
        finish(axes, "connections at once", up)


def _rows(figure: Any, figures: Figures) -> None:
    runs = figures["rows"]["read"] + figures["rows"]["sent"]
    left, right = figure.subplots(1, 2)
    for name, style in RUNS.items():
        taken = [run for run in runs if run["run"] == name]
        rows = [run["rows"] for run in taken]
        left.plot(rows, [run["seconds"] for run in taken], label=name, **style)
        right.plot(rows, [run["peak_mib"] for run in taken], label=name, **style)
    for axes in (left, right):
        axes.set_xscale("log")
    finish(left, "rows", "time, s", log_up=True)
    finish(right, "rows", "memory of the process, MiB")


def _processes(figure: Any, figures: Figures) -> None:
    run = figures["processes"]
    left, right = figure.subplots(1, 2)
    counts = [turns["processes"] for turns in run["turns"]]
    free, kept = ([each for each in run["rounds"] if each["rate"] == rate] for rate in (0, run["rate"]))
    left.plot(counts, [each["requests_per_s"] for each in free], label="no rate", **STYLES["nomyo"])
    left.plot(counts, [each["requests_per_s"] for each in kept], label="rate kept", **STYLES["by hand"])
    left.axhline(run["rate"], label="rate asked for", **STYLES["bare RSA"])
    right.plot(counts, [each["requests_per_s"] for each in run["turns"]], label="turns alone", **STYLES["nomyo"])
    for axes, up in ((left, "rows a second, all processes"), (right, "turns a second, all processes")):
        axes.set_xticks(counts)
        finish(axes, "processes", up)


def _sizes(figure: Any, figures: Figures) -> None:
    sizes = figures["answer_sizes"]
    left, right = figure.subplots(1, 2)
    megabytes = [each["package_bytes"] / 1e6 for each in sizes]
    for axes, names in (
        (left, {"ms": ("time", "nomyo"), "cpu_ms": ("processor time", "by hand")}),
        (right, {"peak_mib": ("memory of the process", "nomyo"), "locked_mib": ("locked memory", "by hand")}),
    ):
        for name, (label, style) in names.items():
            axes.plot(megabytes, [each[name] for each in sizes], label=label, **STYLES[style])
        axes.set_xscale("log")
    finish(left, "answer on the wire, MB", "ms", log_up=True)
    finish(right, "answer on the wire, MB", "MiB")
