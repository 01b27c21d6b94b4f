"""Sealed answers beside the columns of a table: only the private key gives them back, and alterations are noticed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nomyo.batch
from nomyo.batch import DataOptions
from support.process import unmeasured

CANARY = "canary-prompt-77ac"
TABLE = pa.table({"id": range(12), "question": [f"{CANARY} {number}" for number in range(12)], "n": [None, *range(11)]})
KINDS = [".parquet", ".arrow", ".csv", ".jsonl.gz"]


@pytest.fixture
def run(router: Any, key_directory: Path, archive: Path, tmp_path: Path) -> Any:
    source = tmp_path / "in.parquet"
    pq.write_table(TABLE, source, row_group_size=5)

    def run(output: Path, **options: Any) -> nomyo.batch.Summary:
        own = {"base_url": router.url, "allow_http": True, "key_dir": key_directory}
        data = DataOptions(prompt_column="question", model="m", **options)
        return nomyo.batch.run(source, output, data=data, encrypt_to=archive / "public_key.pem", **own)

    return run


def opened(output: Path, archive: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "nomyo", "batch", "open", str(output), "--key-dir", str(archive), *words]
    return subprocess.run(command, capture_output=True, timeout=60, check=False, env=unmeasured())


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_sealed_rows_come_back(kind: str, hidden: bool, run: Any, archive: Path, tmp_path: Path) -> None:
    output, plain = tmp_path / f"out{kind}", tmp_path / "plain.parquet"
    assert run(output, seal_input_columns=hidden).failed == 0
    holders = [path.name for path in tmp_path.iterdir() if CANARY.encode() in path.read_bytes()]
    assert set(holders) <= ({"in.parquet"} if hidden else {"in.parquet", output.name})
    assert b'"question"' not in output.read_bytes() or not hidden
    done = opened(output, archive, "-o", str(plain))
    assert done.returncode == 0, done.stderr
    rows = pq.read_table(plain).to_pylist()
    assert list(rows[0]) == [*TABLE.column_names, "response", "finish_reason", "usage", "error", "custom_id"]
    assert [row["response"] for row in rows] == [row["question"] for row in rows] == TABLE["question"].to_pylist()
    if kind != ".csv" or hidden:
        assert pq.read_table(plain).select(TABLE.column_names) == TABLE
    lines = opened(output, archive).stdout.splitlines()
    assert [json.loads(line)["response"] for line in lines] == TABLE["question"].to_pylist()


def test_altered_and_exchanged_rows_are_reported_and_left_out(run: Any, archive: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.parquet"
    run(output, seal_input_columns=True)
    table = pq.read_table(output)
    assert table.column_names == ["sealed", "failed", "sealed_input"]
    sealed, inner = table["sealed"].to_pylist(), table["sealed_input"].to_pylist()
    sealed[1] = sealed[1].replace('"error":null', '"error":{"code":"sealed"}')
    inner[3], inner[4] = inner[4], inner[3]
    sealed[6] = None
    inner[8] = inner[8][:-5]
    pq.write_table(pa.table({"sealed": sealed, "failed": table["failed"], "sealed_input": inner}), output)
    done = opened(output, archive)
    assert done.returncode == 3
    assert len(done.stdout.splitlines()) == 7
    named = [line.split(b": ")[1] for line in done.stderr.splitlines() if b": line " in line]
    assert named == [b"line 2", b"line 4", b"line 5", b"line 7", b"line 9"]
    assert CANARY.encode() not in done.stderr


def test_another_key_opens_nothing(run: Any, key_directory: Path, tmp_path: Path) -> None:
    output, plain = tmp_path / "out.parquet", tmp_path / "plain.csv"
    run(output)
    done = opened(output, key_directory, "-o", str(plain))
    assert (done.returncode, plain.exists()) == (1, False)
    assert b"sealed for SHA256:" in done.stderr
    (tmp_path / "out.parquet.journal.batch").unlink()
    done = opened(output, key_directory, "-o", str(plain))
    assert (done.returncode, plain.exists()) == (1, False)
    assert b"none of 12 rows can be opened" in done.stderr


def test_input_columns_are_not_sealed_without_a_key(router: Any, key_directory: Path, tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "in.parquet")
    data = DataOptions(prompt_column="question", model="m", seal_input_columns=True)
    with pytest.raises(ValueError, match="seal_input_columns needs encrypt_to"):
        nomyo.batch.run(tmp_path / "in.parquet", tmp_path / "out.parquet", data=data, base_url=router.url)
