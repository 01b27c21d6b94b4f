"""The tables of docs/performance.md that show how cost grows."""

from __future__ import annotations

from typing import Any

from markdown_table import duration, table

Figures = dict[str, Any]


def growth_tables(figures: Figures) -> dict[str, str]:
    """Return these tables by name."""
    connections = figures["connections"]
    return {
        "connections": _connections(connections["rounds"]),
        "connection kinds": _kinds(connections["rounds"]),
        "open files": _open_files(connections["open_files"]),
        "rows read": _rows(figures["rows"]["read"]),
        "rows sent": _rows(figures["rows"]["sent"]),
        "processes": _processes(figures["processes"]),
        "answer sizes": _sizes(figures["answer_sizes"]),
    }


def of_variant(rounds: list[Figures], variant: str) -> list[Figures]:
    """Return the rounds of a variant, by how many requests are at once."""
    return sorted((r for r in rounds if r["variant"] == variant), key=lambda r: int(r["at_once"]))


def _connections(rounds: list[Figures]) -> str:
    head = ["at once"]
    for figure in ("memory MiB", "requests/s", "CPU ms", "stall p99 ms", "longest ms"):
        head += [figure, "with `speed`"]
    both = zip(of_variant(rounds, "asyncio"), of_variant(rounds, "uvloop with aiofastnet"), strict=True)
    return table(head, [_beside(plain, fast) for plain, fast in both])


def _beside(plain: Figures, fast: Figures) -> tuple[str, ...]:
    cells = [f"{plain['at_once']:,}"]
    for figure, form in (
        ("peak_kib_warm", "{:.0f}"),
        ("requests_per_s", "{:.0f}"),
        ("cpu_ms_per_request", "{:.2f}"),
        ("stall_p99_ms", "{:.1f}"),
        ("stall_longest_ms", "{:.0f}"),
    ):
        unit = 1024 if figure.endswith("_kib_warm") else 1
        cells += [form.format(each[figure] / unit) for each in (plain, fast)]
    return tuple(cells)


def per_connection_kib(rounds: list[Figures], variant: str) -> float:
    """Return what each of the most connections adds to the memory of a client with one."""
    one, *_, most = of_variant(rounds, variant)
    return float((most["peak_kib_warm"] - one["peak_kib_warm"]) / (most["at_once"] - one["at_once"]))


def _kinds(rounds: list[Figures]) -> str:
    most = max(each["at_once"] for each in rounds)
    rows = []
    for last in (each for each in rounds if each["at_once"] == most):
        variant = last["variant"]
        memory = f"{per_connection_kib(rounds, variant):.0f} KiB", f"{last['peak_kib_warm'] / 1024:.0f} MiB"
        rows.append((variant, *memory, f"{last['cpu_ms_per_request']:.2f}"))
    return table((f"{most:,} at once", "memory a connection", "whole process", "CPU ms a request"), rows)


def _open_files(files: Figures) -> str:
    errors = "; ".join(f"{count:,} times `{words}`" for words, count in files["errors"]) or "none"
    row = (f"{files['limit']:,}", f"{files['at_once']:,}", f"{files['failed']:,}", errors)
    return table(("open files allowed", "requests at once", "of these fail", "error"), [row])


def _rows(runs: list[Figures]) -> str:
    rows = []
    for run in runs:
        each_us = run["cpu_s"] / run["rows"] * 1e6
        figures = (duration(run["seconds"]), duration(run["cpu_s"]), f"{each_us:,.0f} us", f"{run['peak_mib']:.0f} MiB")
        rows.append((run["run"], f"{run['rows']:,}", *figures, f"{run['rows'] / run['seconds']:,.0f}"))
    head = ("run", "rows", "time", "CPU", "CPU for each row", "memory", "rows/s")
    return table(head, sorted(rows, key=lambda row: row[0]))


def _processes(run: Figures) -> str:
    rate = run["rate"]
    rows = []
    for turns in run["turns"]:
        count = turns["processes"]
        free, kept = (_of(run["rounds"], count, each) for each in (0, rate))
        whole = (f"{free['requests_per_s']:.0f}", f"{free['cpu_ms_per_request']:.2f}")
        paced = (f"{kept['requests_per_s']:.1f}", f"{kept['most_in_a_second']}", f"{kept['cpu_ms_per_request']:.2f}")
        shares = f"{min(turns['shares']) / max(turns['shares']):.2f}"
        alone = (f"{turns['requests_per_s']:,.0f}", f"{turns['cpu_ms_per_request']:.2f}", shares)
        rows.append((f"{count}", *whole, *paced, *alone))
    head = ("processes", "rows/s, no rate", "CPU ms", f"rows/s at a rate of {rate:.0f}", "most in a second", "CPU ms")
    return table((*head, "turns/s alone", "CPU ms", "fewest by most turns"), rows)


def _of(rounds: list[Figures], count: int, rate: float) -> Figures:
    return next(each for each in rounds if (each["processes"], each["rate"]) == (count, rate))


def _sizes(sizes: list[Figures]) -> str:
    rows = [
        (
            each["size"],
            f"{each['package_bytes']:,}",
            duration(each["ms"] / 1e3),
            duration(each["cpu_ms"] / 1e3),
            f"{each['peak_mib']:.0f} MiB",
            f"{each['locked_mib']:.1f} MiB",
        )
        for each in sizes
    ]
    return table(("answer", "bytes on the wire", "time", "CPU", "memory of the process", "locked memory"), rows)
