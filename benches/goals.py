"""The goals of docs/performance.md: what must be reached, what would be better, and what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from markdown_table import table
from throughput_rounds import rate

Figures = dict[str, Any]
SIZES = ("200B", "10KB", "100KB", "1MB", "8.5MB")


@dataclass(frozen=True)
class Goal:
    """A figure with its bounds; one of them may be missing.

    Args:
        form: How the figure and its bounds are written.
        at_most: Whether less is better.
    """

    words: str
    must: float | None
    better: float | None
    measured: float
    form: str
    at_most: bool = False

    def row(self) -> tuple[str, ...]:
        """Return the cells of its row."""
        must, better = ("" if bound is None else self.form.format(bound) for bound in (self.must, self.better))
        return (self.words, must, better, self.form.format(self.measured), self._reached())

    def _reached(self) -> str:
        if self.must is not None and not self._meets(self.must):
            return "**no**"
        return "must" if self.better is not None and not self._meets(self.better) else "yes"

    def _meets(self, bound: float) -> bool:
        return self.measured <= bound if self.at_most else self.measured >= bound


def goals_table(figures: Figures) -> str:
    """Return the table of all goals."""
    goals = [*_throughput(figures), *_calls(figures), *_micro(figures["micro"]), *_start(figures["start"])]
    return table(("goal", "must", "better", "measured", "reached"), [goal.row() for goal in goals])


def _throughput(figures: Figures) -> list[Goal]:
    run = figures["throughput"]
    most = max(each["at_once"] for each in run["rounds"])
    ours, many, single = (rate(run, "nomyo", at_once) for at_once in (32, most, 1))
    public = rate(run, "nomyo 0.2.9", 32)
    per_s = ours["requests_per_s"]
    bare_ms = min(figures["micro"][f"open {size}"]["bare RSA"] for size in SIZES) * 1e3
    rss, memory = (
        run["memory"]["rss_kib"],
        f"resident memory over {run['memory']['requests']:,} requests, most less least",
    )
    return [
        Goal("requests a second, 32 at once, against 0.2.9", 42, 50, per_s / public["requests_per_s"], "{:.1f} times"),
        Goal("the same as a share of the RSA bound", 0.78, 0.85, per_s / run["rsa_operations_per_s"], "{:.3f}"),
        Goal(f"{most} at once against 32", 0.95, 1, many["requests_per_s"] / per_s, "{:.2f}"),
        Goal("one request at a time", 465, 520, single["requests_per_s"], "{:.0f}/s"),
        Goal("the loop's thread for a request", 0.40, 0.30, ours["loop_ms_per_request"], "{:.3f} ms", at_most=True),
        Goal(
            "processor time of a request beyond the RSA operation",
            0.48, 0.30, ours["cpu_ms_per_request"] - bare_ms, "{:.2f} ms", at_most=True,
        ),
        Goal("longest stall of the event loop, p99", 6.5, 3, ours["stall_p99_ms"], "{:.1f} ms", at_most=True),
        Goal(memory, 5, None, (max(rss) - min(rss)) / 1024, "{:.1f} MiB", at_most=True),
        _memory_of_connections(figures["connections"]["rounds"]),
    ]  # fmt: skip


def _memory_of_connections(rounds: list[Figures]) -> Goal:
    most = max(each["at_once"] for each in rounds)
    peak_kib = {each["variant"]: each["peak_kib_warm"] for each in rounds if each["at_once"] == most}
    share = peak_kib["uvloop with aiofastnet"] / peak_kib["asyncio"]
    return Goal(
        f"memory for {most:,} connections with `speed`, of that without", 1 / 3, 1 / 6, share, "{:.2f}", at_most=True
    )


def _calls(figures: Figures) -> list[Goal]:
    calls = figures["calls"]
    beyond = max(100 * (times["async"] / times["bare RSA"] - 1) for times in calls["open"].values())
    sync = min(calls["seal"][size]["by hand"] / calls["seal"][size]["sync"] for size in ("200B", "10KB"))
    large = calls["seal"]["100KB"]
    return [
        Goal(
            "async client opens 200 B and 10 KB, beyond the bare RSA operation", 7, 5, beyond, "{:.1f} %", at_most=True
        ),
        Goal("sync client seals 200 B and 10 KB, against by hand", 1, None, sync, "{:.2f} times"),
        Goal("async client seals 100 KB, against by hand", 1, None, large["by hand"] / large["async"], "{:.2f} times"),
    ]


def _micro(groups: Figures) -> list[Goal]:
    def least(operation: str) -> float:
        return min(_ratio(groups[f"{operation} {size}"], "by hand") for size in SIZES)

    beyond = max(1 / _ratio(groups[f"open {size}"], "bare RSA") for size in SIZES[:2]) - 1
    return [
        Goal("core seals, against by hand: the least of five sizes", 1, 2, least("seal"), "{:.2f} times"),
        Goal("core opens, against by hand: the least of five sizes", 1, None, least("open"), "{:.2f} times"),
        Goal("core opens up to 10 KB, beyond the bare RSA operation", 15, 5, 100 * beyond, "{:.1f} %", at_most=True),
        Goal("core seals 1 MB, against 0.2.9", 40, 100, _ratio(groups["seal 1MB"], "nomyo 0.2.9"), "{:.0f} times"),
    ]


def _ratio(group: dict[str, float], peer: str) -> float:
    return group[peer] / group["nomyo"]


def _start(start: dict[str, float]) -> list[Goal]:
    return [
        Goal("`import nomyo` beyond the standard library", 15, None, start["import_ms"], "{:.1f} ms", at_most=True),
        Goal(
            "new process: from the client to its first byte",
            150,
            120,
            start["first_byte_ms"],
            "{:.0f} ms",
            at_most=True,
        ),
        Goal("`nomyo --help`", 80, None, start["help_ms"], "{:.0f} ms", at_most=True),
        Goal("`nomyo chat --help`", 300, None, start["chat_help_ms"], "{:.0f} ms", at_most=True),
    ]
