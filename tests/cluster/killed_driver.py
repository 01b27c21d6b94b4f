"""`killed_driver.py JSON`: a job on a table whose driver is killed at random moments, and called again until it ends.

Without a cluster, the actors' work dies with the driver, so all of it is killed wherever it may be.

Prints, as JSON, how many rows had an outcome after each kill.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
import ray

import nomyo.batch.ray as cluster_batch
from cluster.without_cluster import WITHOUT_CLUSTER
from nomyo.batch import DataOptions
from support.batch_scene import whole_rows
from support.waiting import until


def drive(address: str, given: dict[str, Any]) -> None:
    if address:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        ray.data.DataContext.get_current().enable_progress_bars = False
    else:
        monkeypatch = pytest.MonkeyPatch()
        for name, value in WITHOUT_CLUSTER.items():
            monkeypatch.setattr(name, value)
    cluster_batch.run(
        given["source"],
        given["output"],
        data=DataOptions(prompt_column="question", model="m", seal_input_columns=given["seal"] == "all"),
        base_url=given["url"],
        allow_http=True,
        key_size=2048,
        actors=2,
        concurrency=given["concurrency"],
        rows_per_part=given["rows_per_part"],
        encrypt_to=given["public_key"] if given["seal"] else None,
    )


def _written_bytes(output: Path) -> int:
    """Return the size of all that a job wrote."""
    found = 0
    for path in output.rglob("*"):
        with suppress(FileNotFoundError):  # it got its last name meanwhile
            found += path.stat().st_size if path.suffix in (".jsonl", ".parquet") else 0
    return found


@contextmanager
def _cluster() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="ray") as directory:
        quiet = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        ray.init(num_cpus=2, object_store_memory=100 * 1024 * 1024, _temp_dir=directory, **quiet)
        yield ray.get_runtime_context().gcs_address
        ray.shutdown()


def _kill_when_grown(process: subprocess.Popen[bytes], output: Path, chance: random.Random) -> None:
    """Kill a driver at a random moment after its actors have written some bytes more, or it has ended."""
    enough = _written_bytes(output) + chance.randrange(1, 60_000)
    until(lambda: _written_bytes(output) >= enough or process.poll() is not None, timeout_s=120)
    time.sleep(chance.uniform(0, 0.02))
    process.kill()


def main(given: dict[str, Any]) -> None:
    output, chance, done = Path(given["output"]), random.Random(str(given["seal"])), []
    with _cluster() if given["cluster"] else nullcontext("") as address:
        words = [sys.executable, __file__, json.dumps(given), address]
        for _ in range(given["kills"]):
            with subprocess.Popen(words) as process:
                _kill_when_grown(process, output, chance)
            journals = (output / "_journal").glob("*.jsonl")
            done.append(sum(len(whole_rows(journal)) for journal in journals))
        subprocess.run(words, check=True, timeout=120)
        undisturbed = {**given, "output": given["undisturbed"]}
        subprocess.run([sys.executable, __file__, json.dumps(undisturbed), address], check=True, timeout=120)
    print("report:", json.dumps(done))


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    main(asked) if len(sys.argv) == 2 else drive(sys.argv[2], asked)
