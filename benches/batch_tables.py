"""A batch on Parquet beside one on JSON lines: rows a second, the client's CPU time, and memory while it runs.

`PYTHONPATH=tests python benches/batch_tables.py [SENT [DRY]]` (50,000 and a million rows by default) prints what it
measured. It exits with 1 if memory grows, or if a row of Parquet takes more than a row of JSON lines does by a ninth.
Everything runs on this machine, against the server of the throughput run (`replaying.py`). The two take turns, so that
other work on the machine takes from both alike.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric import rsa
from replaying import TEXT, Replay, replaying_server

import nomyo.batch
from nomyo.batch.data.dry_run import rows_of
from nomyo.batch.estimate import estimate
from support.batch_scale import FIGURES, Sampling
from support.soak import growth

KINDS = ("jsonl", "parquet")
ROUNDS = 3
LEAST_SHARE = 0.9
ASKED = nomyo.batch.DataOptions(prompt_column="question", model="m")
DRY_KIB_PER_ROW = 8 / 1024
"""What a dry run keeps of each row, to find repeated names."""
GROUP_ROWS = 10_000
POOL_KIB = 8 * 1024
"""What pyarrow keeps of the pages that it read goes up and down by."""


def write(path: Path, rows: int) -> Path:
    """Write as many rows, in the format of the name."""
    if path.suffix == ".jsonl":
        with path.open("w") as file:
            file.writelines(json.dumps(row) + "\n" for row in _rows(0, rows))
        return path
    schema = pa.schema([("id", pa.int64()), ("question", pa.string())])
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, rows, GROUP_ROWS):
            last = min(first + GROUP_ROWS, rows)
            writer.write_table(pa.Table.from_pylist(list(_rows(first, last)), schema))
    return path


def _rows(first: int, last: int) -> Iterator[dict[str, Any]]:
    return ({"id": number, "question": f"{number} {TEXT}"} for number in range(first, last))


def sent(source: str, rows: int, options: dict[str, Any]) -> dict[str, Any]:
    """Send the rows of a file, and say what it took until its output was there."""
    sampling, output = Sampling(rows), f"{source}.out{Path(source).suffix}"
    began = time.perf_counter(), time.process_time()
    summary = nomyo.batch.run(source, output, data=ASKED, progress=sampling, concurrency=32, **options)
    wall_s, cpu_s = time.perf_counter() - began[0], time.process_time() - began[1]
    assert summary.succeeded == rows, summary
    return {
        "rows_per_s": rows / wall_s,
        "cpu_ms_per_row": cpu_s / rows * 1e3,
        "samples": sampling.samples,
        "peak_kib": _peak_kib(),
    }


def _peak_kib() -> int:
    """Return the most that was resident, which is within the last step."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


def dry(source: str, rows: int) -> dict[str, Any]:
    """Count the rows of a file, as a dry run does."""
    sampling = Sampling(rows)

    def sampled() -> Iterator[Any]:
        for row in rows_of(Path(source), ASKED):
            sampling.row()
            yield row

    began = time.process_time()
    assert estimate(sampled()).rows == rows
    return {"cpu_us_per_row": (time.process_time() - began) / rows * 1e6, "samples": sampling.samples}


def in_child(what: str, environment: dict[str, str], *arguments: Any) -> dict[str, Any]:
    """Do one of the above in a process of its own."""
    words = [sys.executable, "-W", "ignore", __file__, what, json.dumps(arguments)]
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def grown(samples: list[dict[str, float]], allowed_kib: float = 0.0) -> bool:
    """Print how memory went; whether it grew."""
    figures = [growth(figure, [taken[figure] for taken in samples]) for figure in FIGURES]
    for figure in figures:
        print(f"  {figure.name}: {figure.first:,.1f} to {figure.last:,.1f}, slope {figure.grown:+,.1f}")
    rss = figures[0]
    return not (rss.flat or rss.grown <= allowed_kib) or not all(each.flat for each in figures[1:])


def rounds(replay: Replay, directory: Path, rows: int) -> dict[str, list[dict[str, Any]]]:
    """Send as many rows of each kind, in turns."""
    taken: dict[str, list[dict[str, Any]]] = {kind: [] for kind in KINDS}
    for number in range(ROUNDS):
        for kind in KINDS:
            source = write(directory / f"{number}.{kind}", rows)
            taken[kind].append(in_child("sent", replay.environment, str(source), rows, replay.options()))
    return taken


def main(rows: int, dry_rows: int) -> int:
    """Measure, and print a line for each figure."""
    key = rsa.generate_private_key(65537, 4096)
    with tempfile.TemporaryDirectory() as name, replaying_server(Path(name), key) as replay:
        million = in_child("dry", replay.environment, str(write(Path(name) / "dry.parquet", dry_rows)), dry_rows)
        print(f"dry run of {dry_rows:,} rows of Parquet: {million['cpu_us_per_row']:.1f} us of CPU a row")
        fault = grown(million["samples"], 1.25 * DRY_KIB_PER_ROW * dry_rows)
        source = str(write(Path(name) / "long.parquet", rows))
        long = in_child("sent", replay.environment, source, rows, replay.options())
        print(f"{rows:,} rows of Parquet sent: {_said(long)}")
        fault = grown(long["samples"], POOL_KIB) or fault
        print(f"  RSS KiB, the most, in the last step: {long['peak_kib']:,}")
        taken = rounds(replay, Path(name), rows // 25)
    for kind, runs in taken.items():
        print(f"{kind}: {', '.join(map(_said, runs))}")
    best = {kind: min(run["cpu_ms_per_row"] for run in runs) for kind, runs in taken.items()}
    share = best["jsonl"] / best["parquet"]
    print(f"share of JSON lines, by CPU: {share:.2f}")
    return int(fault or share < LEAST_SHARE)


def _said(run: dict[str, Any]) -> str:
    return f"{run['rows_per_s']:,.0f} rows/s ({run['cpu_ms_per_row']:.2f} ms of CPU a row)"


if __name__ == "__main__":
    if sys.argv[1:2] in (["sent"], ["dry"]):
        print(json.dumps(globals()[sys.argv[1]](*json.loads(sys.argv[2]))))
    else:
        sys.exit(main(*[int(word) for word in (*sys.argv[1:], "50000", "1000000")[:2]]))
