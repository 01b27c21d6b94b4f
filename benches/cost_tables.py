"""The tables of docs/performance.md that show what single calls and options cost."""

from __future__ import annotations

from typing import Any

from markdown_table import change, duration, table

Figures = dict[str, Any]


def cost_tables(figures: Figures) -> dict[str, str]:
    """Return these tables by name."""
    return {
        "calls": _calls(figures["calls"]),
        "handing over": _handing_over(figures["calls"]["handing over"]),
        "evidence": _evidence(figures["evidence"]),
        "hidden": _hidden(figures["hidden"]),
        "attestation": _attestation(figures["attestation"]),
        "translated": _translated(figures["translated"]),
        "ray": _ray(figures["ray"]),
    }


def _calls(calls: Figures) -> str:
    rows = []
    for operation, peer in (("seal", "by hand"), ("open", "bare RSA")):
        for size, times in calls[operation].items():
            ratios = [f"{times[peer] / times[who]:.2f}" if who in times else "" for who in ("sync", "async")]
            taken = [duration(times[who] / 1e6) if who in times else "" for who in ("sync", "async", peer)]
            rows.append((f"{operation} {size}", *taken, *ratios))
    return table(("call", "sync client", "async client", "by hand, or bare RSA", "that by sync", "that by async"), rows)


def _handing_over(by_number: dict[str, float]) -> str:
    return table([f"{at_once} at once" for at_once in by_number], [[f"{us:.1f} us" for us in by_number.values()]])


def _evidence(clients: Figures) -> str:
    rows = []
    for client, found in clients.items():
        per_s, cpu_ms = found["requests_per_s"], found["cpu_ms_per_request"]
        changes = (change(found["requests_per_s change"]), change(found["cpu_ms_per_request change"]))
        rows.append((client, f"{per_s:.0f}", changes[0], f"{cpu_ms:.2f}", changes[1]))
    return table(("client, 32 at once", "requests a second", "change", "CPU ms", "change"), rows)


def _hidden(ways: Figures) -> str:
    locked, hidden = ways["locked"], ways["hidden"]
    rows = []
    for name in (name for name in locked if not name.endswith(" change")):
        words, form = _WORDS.get(name, (f"{name}, CPU us", "{:.1f}"))
        rows.append((words, form.format(locked[name]), form.format(hidden[name]), change(hidden[f"{name} change"])))
    return table(("", "locked memory", "hidden memory", "change"), rows)


_WORDS = {
    "requests_per_s": ("requests a second, 32 at once", "{:.0f}"),
    "cpu_ms_per_request": ("CPU of a request, ms", "{:.2f}"),
}


def _attestation(quotes: dict[str, float]) -> str:
    return table(("quote", "CPU"), [(name, duration(ms / 1e3)) for name, ms in quotes.items()])


def _translated(ways: Figures) -> str:
    rows = []
    for way, forms in ways.items():
        chat = forms["chat completions"]
        for form, found in forms.items():
            share = found["median_per_s"] / chat["median_per_s"]
            rows.append(
                (f"{form}, {way}", f"{found['median_per_s']:.0f}", f"{share:.2f}", f"{found['proxy_cpu_ms']:.2f}")
            )
    return table(("form, answer", "requests a second", "of chat completions", "CPU ms of the proxy"), rows)


def _ray(runs: list[Figures]) -> str:
    rows, others = [], {}
    for run in runs:
        if "actors" not in run:
            others |= run
            continue
        who = f"`nomyo.batch.ray.run`, {run['actors']} of its actors" if run["actors"] else "`nomyo.batch.run`"
        rest = [f"{run[name]}" if name in run else "" for name in ("start of Ray, s", "a job of one row, s")]
        rows.append((who, f"{run['rows/s']}", f"{run['memory, MiB']:,} MiB", *rest))
    head = ("no rate, requests of 250 characters", "rows a second", "memory", "start of Ray, s", "a job of one row, s")
    rows += [(name, f"{figure}", "", "", "") for name, figure in others.items()]
    return table(head, rows)
