"""The tables of docs/performance.md, made from docs/performance.json."""

from __future__ import annotations

import re
from typing import Any

from cost_tables import cost_tables
from goals import SIZES, goals_table
from growth_tables import growth_tables
from markdown_table import duration, table
from throughput_rounds import rate

Figures = dict[str, Any]


def with_tables(page: str, figures: Figures) -> str:
    """Return a page with its tables made anew; each stands behind `<!-- table: NAME -->`, up to an empty line."""
    for name, made in tables(figures).items():
        place = re.compile(rf"(?<=<!-- table: {name} -->\n).*?(?=\n\n|\n\Z)", re.DOTALL)
        page, count = place.subn(lambda _, made=made: made, page)
        assert count == 1, name
    return page


def tables(figures: Figures) -> dict[str, str]:
    """Return the tables by name."""
    return {
        "machine": _machine(figures["about"]),
        "goals": goals_table(figures),
        "throughput": _throughput(figures["throughput"]),
        "layers": _layers(figures["layers"]),
        "seal": _micro(figures["micro"], "seal", ("nomyo", "nomyo secret", "by hand", "nomyo 0.2.9")),
        "open": _micro(figures["micro"], "open", ("nomyo", "nomyo secret", "by hand", "bare RSA")),
        **growth_tables(figures),
        **cost_tables(figures),
    }


def _machine(about: Figures) -> str:
    libraries = ", ".join(f"{name} {version}" for name, version in about["libraries"].items())
    return f"{about['machine']}; CPython {about['python']}, {libraries}; commit {about['commit']}."


def _throughput(run: Figures) -> str:
    head = (
        "at once",
        "requests a second",
        "of the bound",
        "0.2.9",
        "times",
        "by hand",
        "times",
        "CPU ms",
        "of it the loop's",
        "stall p99 ms",
    )
    return table(head, [_throughput_at(run, at_once) for at_once in sorted({r["at_once"] for r in run["rounds"]})])


def _throughput_at(run: Figures, at_once: int) -> tuple[str, ...]:
    ours = rate(run, "nomyo", at_once)
    per_s = ours["requests_per_s"]
    public, by_hand = (rate(run, client, at_once)["requests_per_s"] for client in ("nomyo 0.2.9", "by hand"))
    return (
        f"{at_once}",
        f"{per_s:.0f}",
        f"{per_s / run['rsa_operations_per_s']:.2f}",
        f"{public:.1f}",
        f"{per_s / public:.0f}",
        f"{by_hand:.0f}",
        f"{per_s / by_hand:.2f}",
        f"{ours['cpu_ms_per_request']:.2f}",
        f"{ours['loop_ms_per_request']:.2f}",
        f"{ours['stall_p99_ms']:.1f}",
    )


def _micro(groups: Figures, operation: str, who: tuple[str, ...]) -> str:
    rows = [(size, *(duration(groups[f"{operation} {size}"][name]) for name in who)) for size in SIZES]
    return table(("text", *who), rows)


def _layers(layers: dict[str, float]) -> str:
    return table(tuple(layers), [tuple(f"{ms:.2f}" for ms in layers.values())])
