"""Measures everything that needs a machine to itself, and writes it down.

`python benches/report.py MICRO.json`, with the JSON of pytest-benchmark: figures go to docs/performance.json, the
tables of docs/performance.md are made anew from them, and the plots are drawn beside it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import http_layers
import plots
import start
import throughput

from tables import tables, with_tables

DOCS = Path(__file__).parent.parent / "docs"
LIBRARIES = ("aiohttp", "httpx", "cryptography", "orjson")


def main() -> int:
    """Measure, print, write, draw."""
    figures = {
        "about": about(),
        "micro": micro(json.loads(Path(sys.argv[1]).read_text())),
        "throughput": throughput.measure(),
        "layers": http_layers.measure(),
        "start": start.measure(),
    }
    (DOCS / "performance.json").write_text(json.dumps(figures, indent=1) + "\n")
    for name, table in tables(figures).items():
        print(f"\n{name}\n{table}")
    page = DOCS / "performance.md"
    page.write_text(with_tables(page.read_text(), figures))
    plots.draw(figures, DOCS)
    return 0


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
    sys.exit(main())
