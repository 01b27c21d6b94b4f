"""The tables of docs/performance.md, made from docs/performance.json."""

from __future__ import annotations

import re
from typing import Any

SIZES = ("200B", "10KB", "100KB", "1MB", "8.5MB")
Figures = dict[str, Any]


def with_tables(page: str, figures: Figures) -> str:
    """Return a page with its tables made anew; each stands behind `<!-- table: NAME -->`, up to an empty line."""
    for name, table in tables(figures).items():
        place = re.compile(rf"(?<=<!-- table: {name} -->\n).*?(?=\n\n|\n\Z)", re.DOTALL)
        page, count = place.subn(lambda _, table=table: table, page)
        assert count == 1, name
    return page


def tables(figures: Figures) -> dict[str, str]:
    """Return the tables by name."""
    return {
        "machine": _machine(figures["about"]),
        "goals": _goals(figures),
        "throughput": _throughput(figures["throughput"]),
        "layers": _layers(figures["layers"]),
        "seal": _micro(figures["micro"], "seal", ("nomyo", "nomyo secret", "by hand", "nomyo 0.2.9")),
        "open": _micro(figures["micro"], "open", ("nomyo", "nomyo secret", "by hand", "bare RSA")),
    }


def rate(run: Figures, client: str, at_once: int) -> Figures:
    """Return what was measured of a client at a concurrency."""
    found: Figures = next(r for r in run["rounds"] if (r["client"], r["at_once"]) == (client, at_once))
    return found


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
        "stall p99 ms",
    )
    return _table(head, [_throughput_at(run, at_once) for at_once in sorted({r["at_once"] for r in run["rounds"]})])


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
        f"{ours['stall_p99_ms']:.1f}",
    )


def _micro(groups: Figures, operation: str, who: tuple[str, ...]) -> str:
    rows = [(size, *(_time(groups[f"{operation} {size}"][name]) for name in who)) for size in SIZES]
    return _table(("text", *who), rows)


def _layers(layers: dict[str, float]) -> str:
    return _table(tuple(layers), [tuple(f"{ms:.2f}" for ms in layers.values())])


def _goals(figures: Figures) -> str:
    return _table(("goal", "must", "better", "measured"), [*_throughput_goals(figures), *_other_goals(figures)])


def _throughput_goals(figures: Figures) -> list[tuple[str, ...]]:
    run = figures["throughput"]
    ours, public, many = (rate(run, *of) for of in (("nomyo", 32), ("nomyo 0.2.9", 32), ("nomyo", 256)))
    per_s, cpu_ms = ours["requests_per_s"], ours["cpu_ms_per_request"]
    bare_ms = min(figures["micro"][f"open {size}"]["bare RSA"] for size in SIZES) * 1e3
    rss = run["memory"]["rss_kib"]
    return [
        ("requests a second, 32 at once, against 0.2.9", "20 times", "35", f"{per_s / public['requests_per_s']:.0f}"),
        ("the same as a share of the RSA bound", "0.60", "0.85", f"{per_s / run['rsa_operations_per_s']:.2f}"),
        ("256 at once against 32", "0.95", "1.0", f"{many['requests_per_s'] / per_s:.2f}"),
        ("longest stall of the event loop, p99", "10 ms", "3", f"{ours['stall_p99_ms']:.1f}"),
        ("CPU a request beyond the RSA operation", "0.6 ms", "0.3", f"{cpu_ms - bare_ms:.2f}"),
        (f"resident memory over {run['memory']['requests']:,} requests, most less least", "5 MB", "",
         f"{(max(rss) - min(rss)) / 1024:.1f}"),
    ]  # fmt: skip


def _other_goals(figures: Figures) -> list[tuple[str, ...]]:
    groups, start = figures["micro"], figures["start"]

    def least(operation: str) -> str:
        return f"{min(_ratio(groups[f'{operation} {size}'], 'by hand') for size in SIZES):.2f}"

    beyond = max(1 / _ratio(groups[f"open {size}"], "bare RSA") for size in SIZES[:2]) - 1
    return [
        ("seal against by hand, the least of five sizes", "1 time", "2", least("seal")),
        ("open against by hand, the least of five sizes", "1 time", "", least("open")),
        ("open up to 10 KB, beyond the bare RSA operation", "15 %", "5", f"{100 * beyond:.1f}"),
        ("seal of 1 MB against 0.2.9", "40 times", "100", f"{_ratio(groups['seal 1MB'], 'nomyo 0.2.9'):.0f}"),
        ("`import nomyo` beyond `import httpx`", "40 ms", "15", f"{start['import_ms']:.0f}"),
        ("new process: from the client to its first byte", "250 ms", "120", f"{start['first_byte_ms']:.0f}"),
    ]


def _ratio(group: dict[str, float], peer: str) -> float:
    return group[peer] / group["nomyo"]


def _time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [" | ".join(row) for row in (head, *rows)]
    return "\n".join([f"| {lines[0]} |", "|" + "---|" * len(head), *(f"| {line} |" for line in lines[1:])])
