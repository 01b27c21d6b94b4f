"""How cost grows with the rows of a batch: a dry run and a resumed run to 1,000,000 rows, and rows sent to 20,000.

To send a million rows would take 18 minutes here and say no more than 20,000 do: what grows with the rows is what reads
them. So the resumed run has an output in which all rows but ten are answered: it reads the input and the output as a
whole, sends ten rows, and ends. Each run is the command itself, in a process of its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from extent import extent
from replaying import ANSWER, HERE, OURS, TEXT, Replay, replaying_server

READ = extent((10, 1_000, 10_000, 100_000, 1_000_000), (20, 200))
SENT = extent((10, 100, 1_000, 10_000, 20_000), (20, 200))
LEFT = 10
OVER_BUDGET = 4
"""The exit code of a batch that a limit ended."""


def measure() -> dict[str, Any]:
    """Return seconds, processor time and memory of each run."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "server").mkdir()
        with replaying_server(directory / "server", rsa.generate_private_key(65537, 4096)) as replay:
            read = [_noted(work(replay, directory, rows)) for rows in READ for work in (_dry, _resumed)]
            return {"read": read, "sent": [_noted(_sent(replay, directory, rows)) for rows in SENT]}


def _noted(taken: dict[str, Any]) -> dict[str, Any]:
    print(json.dumps(taken), file=sys.stderr)
    return taken


def _dry(replay: Replay, directory: Path, rows: int) -> dict[str, Any]:
    source = written_input(directory / "in.jsonl", rows)
    return {"run": "dry run", "rows": rows, **batch(replay, directory, str(source), "--dry-run")}


def _resumed(replay: Replay, directory: Path, rows: int) -> dict[str, Any]:
    """Go on with an output that a run of this package began, and that answers were added to."""
    source, output = directory / "in.jsonl", directory / "resumed.jsonl"
    words = (str(source), "--output", str(output), "--quiet", "--key-dir", str(replay.key_dir))
    batch(replay, directory, *words, "--budget-tokens", "1")  # too few for one row
    with output.open("a") as file:
        file.writelines(_answered(line) for line in range(1, rows - LEFT + 1))
    taken = batch(replay, directory, *words)
    assert len(output.read_bytes().splitlines()) == rows
    _remove(output)
    return {"run": "resumed", "rows": rows, **taken}


def _sent(replay: Replay, directory: Path, rows: int) -> dict[str, Any]:
    source, output = written_input(directory / "in.jsonl", rows), directory / "sent.jsonl"
    words = (str(source), "--output", str(output), "--quiet", "--key-dir", str(replay.key_dir))
    taken = batch(replay, directory, *words)
    assert len(output.read_bytes().splitlines()) == rows
    _remove(output)
    return {"run": "sent", "rows": rows, **taken}


def _remove(output: Path) -> None:
    for path in (output, output.with_name(output.name + ".batch")):
        path.unlink()


def _answered(line: int) -> str:
    """Return a row of an output as the package writes it."""
    response = {"status_code": 200, "request_id": "00000000-0000-4000-8000-000000000001", "body": ANSWER}
    row = {"id": f"batch_req_{line}", "custom_id": f"row-{line}", "response": response, "error": None}
    return json.dumps(row) + "\n"


def written_input(source: Path, rows: int, first: int = 1) -> Path:
    """Write so many rows in OpenAI's batch format; return the path."""
    body = {"model": "m", "messages": [{"role": "user", "content": TEXT}]}
    rest = json.dumps({"method": "POST", "url": "/v1/chat/completions", "body": body})[1:]
    with source.open("w") as file:
        file.writelines(f'{{"custom_id": "row-{line}", {rest}\n' for line in range(first, first + rows))
    return source


def batch(replay: Replay, directory: Path, *words: str) -> dict[str, Any]:
    """Run `nomyo batch`; return seconds from start to end, processor time, and the most memory."""
    said = directory / "measured.json"
    command = [str(OURS), str(HERE / "measured.py"), str(said), "batch", *words]
    router = {"NOMYO_API_KEY": "a-key", "NOMYO_BASE_URL": replay.url}
    began = time.perf_counter()
    done = subprocess.run(command, env=replay.environment | router, capture_output=True, text=True, check=False)
    took_s = time.perf_counter() - began
    assert done.returncode in (0, OVER_BUDGET), done.stderr
    taken: dict[str, Any] = json.loads(said.read_text())
    return {"seconds": took_s, "cpu_s": taken["cpu_s"], "peak_mib": taken["peak_kib"] / 1024}


if __name__ == "__main__":
    print(json.dumps(measure(), indent=1))
