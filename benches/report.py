"""Measures everything that needs a machine to itself, and writes it down.

`python benches/report.py MICRO.json [PART...]`, with the JSON of pytest-benchmark: figures go to docs/performance.json,
the tables of docs/performance.md are made anew from them, and the plots are drawn beside it. If parts are named, only
they are measured, and the others are taken from an earlier run at the same commit, which keeps each part that it
finished. With BENCH_SHORT=1, everything is written to target/bench-short instead.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import answer_sizes
import client_calls
import connections
import evidence
import hidden
import http_layers
import plots
import processes
import ray_cluster
import rows
import start
import throughput
import translated
from extent import SHORT

import attestation
from tables import tables, with_tables

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LIBRARIES = ("aiohttp", "httpx", "cryptography", "orjson")
PARTS = {
    "throughput": throughput.measure,
    "layers": http_layers.measure,
    "start": start.measure,
    "calls": client_calls.measure,
    "connections": connections.measure,
    "rows": rows.measure,
    "processes": processes.measure,
    "answer_sizes": answer_sizes.measure,
    "evidence": evidence.measure,
    "hidden": hidden.measure,
    "attestation": attestation.measure,
    "translated": translated.measure,
    "ray": ray_cluster.measure,
}


def main(micro_json: str, *parts: str) -> int:
    """Measure, print, write, draw."""
    figures = {"about": about(), "micro": micro(json.loads(Path(micro_json).read_text()))}
    target = ROOT / "target" / ("bench-short" if SHORT else "bench")
    target.mkdir(parents=True, exist_ok=True)
    for name, measure in PARTS.items():
        figures[name] = _kept(
            target / f"{name}.json", measure, figures["about"]["commit"], anew=name in (parts or PARTS)
        )
    made = tables(figures)
    for name, table in made.items():
        print(f"\n{name}\n{table}")
    write(figures, target if SHORT else DOCS)
    return 0


def _kept(path: Path, measure: Any, commit: str, *, anew: bool) -> Any:
    """Return figures, measured now or at an earlier run of the same commit."""
    if anew:
        began = time.monotonic()
        path.write_text(json.dumps({"commit": commit, "figures": measure()}))
        print(f"{path.stem}: {time.monotonic() - began:.0f} s", file=sys.stderr)
    kept = json.loads(path.read_text())
    assert kept["commit"] == commit, f"{path} is of commit {kept['commit']}: measure that part, too"
    return kept["figures"]


def write(figures: dict[str, Any], directory: Path) -> None:
    """Write figures, page and plots into a directory."""
    (directory / "performance.json").write_text(json.dumps(figures, indent=1) + "\n")
    page = with_tables((DOCS / "performance.md").read_text(), figures)
    (directory / "performance.md").write_text(page)
    plots.draw(figures, directory)


def about() -> dict[str, Any]:
    """Return the machine, the versions and the commit."""
    commit = subprocess.check_output(["git", "-C", str(DOCS), "rev-parse", "--short", "HEAD"], text=True).strip()
    return {
        "machine": f"{os.cpu_count()} cores, {_processor()}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "libraries": {name: version(name) for name in LIBRARIES},
        "commit": commit,
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.+)", cpuinfo.read_text()) if cpuinfo.exists() else None
    return found[1] if found else platform.machine()


def micro(report: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Return the least seconds of each benchmark, by group and who."""
    found: dict[str, dict[str, float]] = {}
    for benchmark in report["benchmarks"]:
        who = benchmark["params"].get("who", "nomyo 0.2.9")
        found.setdefault(benchmark["group"], {})[who] = benchmark["stats"]["min"]
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
