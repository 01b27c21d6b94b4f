"""Batches on Parquet, Arrow, CSV and JSON lines: each row has its answer beside it, in the input's order."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import nomyo.batch
from nomyo.batch import DataOptions
from support.batch_scene import request, rows_of, write_input

ROWS = 40
PROMPTS = [f"prompt {number} é" for number in range(ROWS)]
TABLE = pa.table({"id": range(ROWS), "question": PROMPTS, "nested": [{"a": [n]} for n in range(ROWS)]})
ASKED = DataOptions(prompt_column="question", model="m", parameters={"temperature": 0.2})
ANSWER = ["response", "finish_reason", "usage", "error", "custom_id"]


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return bytes(sink.getvalue().to_pybytes())


def unzstd(content: bytes) -> bytes:
    return bytes(pa.CompressedInputStream(pa.BufferReader(content), "zstd").read())


PACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".zst": zstd}
UNPACKED: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.decompress, ".zst": unzstd}


def as_parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=7)
    return sink.getvalue()


def as_arrow(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=9)
    return sink.getvalue()


def as_stream(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def as_csv(table: pa.Table, delimiter: str = ",") -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, delimiter=delimiter)
    rows.writerow(table.column_names)
    rows.writerows(
        [json.dumps(each) if isinstance(each, dict) else each for each in row.values()] for row in table.to_pylist()
    )
    return text.getvalue().encode()


def as_json(table: pa.Table) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in table.to_pylist())


WRITERS: dict[str, Callable[[pa.Table], bytes]] = {
    ".parquet": as_parquet,
    ".arrow": as_arrow,
    ".arrows": as_stream,
    ".csv": as_csv,
    ".tsv": lambda table: as_csv(table, "\t"),
    ".jsonl": as_json,
}


def read(path: Path) -> list[dict[str, Any]]:
    """Return the rows of an output, with all cells as JSON has them, or as text if it is CSV."""
    packing = path.suffix if path.suffix in (".gz", ".zst") else ""
    content = UNPACKED[packing](path.read_bytes())
    kind = Path(path.name.removesuffix(packing)).suffix
    if kind == ".parquet":
        return list(pq.read_table(io.BytesIO(content)).to_pylist())
    if kind in (".arrow", ".arrows"):
        reader = pa.ipc.open_file(content) if kind == ".arrow" else pa.ipc.open_stream(content)
        return list(reader.read_all().to_pylist())
    if kind in (".csv", ".tsv"):
        return list(csv.DictReader(io.StringIO(content.decode()), delimiter="\t" if kind == ".tsv" else ","))
    return [json.loads(line) for line in content.splitlines()]


@pytest.fixture
def run(router: Any, key_directory: Path) -> Callable[..., nomyo.batch.Summary]:
    def run(source: Any, output: Any = None, data: DataOptions | None = ASKED, **options: Any) -> nomyo.batch.Summary:
        own = {"base_url": router.url, "allow_http": True, "key_dir": key_directory, **options}
        return nomyo.batch.run(source, output, data=data, **own)

    return run


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_is_read_and_written(kind: str, packing: str, run: Any, tmp_path: Path) -> None:
    source, output = tmp_path / f"in{kind}{packing}", tmp_path / f"out{kind}{packing}"
    source.write_bytes(PACKED[packing](WRITERS[kind](TABLE)))
    summary = run(source, output)
    rows = read(output)
    assert (summary.rows, summary.succeeded, summary.left) == (ROWS, ROWS, 0)
    assert list(rows[0]) == [*TABLE.column_names, *ANSWER]
    assert [row["question"] for row in rows] == [row["response"] for row in rows] == PROMPTS
    assert [row["custom_id"] for row in rows] == [f"{source.name}:{number + 1}" for number in range(ROWS)]
    assert {row["finish_reason"] for row in rows} == {"stop"}
    assert {row["error"] or None for row in rows} == {None}
    usage = rows[0]["usage"] if isinstance(rows[0]["usage"], dict) else json.loads(rows[0]["usage"])
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    if not kind.endswith("sv"):
        assert [{name: row[name] for name in TABLE.column_names} for row in rows] == TABLE.to_pylist()
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(
        [source.name, output.name, f"{output.name}.journal", f"{output.name}.journal.batch"]
    )
    before = output.read_bytes()
    assert run(source, output).done_before == ROWS
    assert output.read_bytes() == before, "the same rows make the same file"


@pytest.mark.parametrize("kind", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("source_kind", [".arrow", ".jsonl", ".tsv"])
def test_any_format_becomes_any_other(source_kind: str, kind: str, run: Any, tmp_path: Path) -> None:
    source = tmp_path / f"in{source_kind}"
    source.write_bytes(WRITERS[source_kind](TABLE))
    run(source, tmp_path / f"out{kind}")
    rows = read(tmp_path / f"out{kind}")
    assert [(str(row["id"]), row["response"]) for row in rows] == [(str(n), PROMPTS[n]) for n in range(ROWS)]


@pytest.mark.parametrize("kind", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("columns", [None, ["question", "reply=response"]])
def test_lines_need_no_pyarrow(
    kind: str, columns: list[str] | None, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even for several files, and for an output of another format of lines."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    source = tmp_path / "in"
    source.mkdir()
    for name in "ab":
        (source / f"{name}{kind}").write_bytes(WRITERS[kind](TABLE))
    for output in (tmp_path / "out.csv", tmp_path / "out.jsonl.gz"):
        run(source, output, dataclasses.replace(ASKED, columns=columns))
        rows = read(output)
        assert [row["reply" if columns else "response"] for row in rows] == PROMPTS * 2


def test_requests_in_openai_s_format_may_be_compressed(run: Any, tmp_path: Path) -> None:
    plain = write_input(tmp_path / "in.jsonl", [request(1), b"{", request(2)])
    source, output = tmp_path / "in.jsonl.zst", tmp_path / "out.jsonl.gz"
    source.write_bytes(zstd(plain.read_bytes()))
    assert run(source, output, None).failed == 1
    assert [(row["id"], row["custom_id"]) for row in read(output)] == [
        ("batch_req_1", "row-1"),
        ("batch_req_2", None),
        ("batch_req_3", "row-2"),
    ]
    run(source, tmp_path / "out.parquet", None)
    assert [row["response"] for row in read(tmp_path / "out.parquet")] == ["prompt 1 é", None, "prompt 2 é"]
    assert list(read(tmp_path / "out.parquet")[0]) == ANSWER


@pytest.mark.parametrize("given", ["parts", "parts/**/*.parquet"])
def test_folder_and_glob_are_one_input(given: str, run: Any, tmp_path: Path) -> None:
    (tmp_path / "parts" / "b").mkdir(parents=True)
    for name, table in (("a.parquet", TABLE.slice(0, 15)), ("b/c.parquet", TABLE.slice(15))):
        pq.write_table(table, tmp_path / "parts" / name)
    for name in ("_SUCCESS", ".a.parquet.crc", "README.md", ".hidden.parquet"):
        (tmp_path / "parts" / name).write_bytes(b"x")
    run(tmp_path / given, tmp_path / "out.parquet")
    rows = read(tmp_path / "out.parquet")
    assert [row["response"] for row in rows] == PROMPTS
    assert [row["custom_id"] for row in rows][14:16] == ["a.parquet:15", "b/c.parquet:1"]


def test_rows_may_have_names_of_their_own(run: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"custom_id": ["x", None], "question": ["a", "b"]}), tmp_path / "in.parquet")
    run(tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert [row["custom_id"] for row in read(tmp_path / "out.jsonl")] == ["x", None]
    journal = sorted(rows_of(tmp_path / "out.jsonl.journal"), key=lambda row: row["id"])
    assert [row["custom_id"] for row in journal] == ["x", "in.parquet:2"]


def test_failed_rows_are_retried_and_the_output_is_written_anew(run: Any, faulty_router: Any, tmp_path: Path) -> None:
    from support.faults import Answer

    source, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    source.write_bytes(as_parquet(TABLE))
    faulty_router.answers.extend([Answer(403)] * 3)
    assert run(source, output, base_url=faulty_router.url, concurrency=4).failed == 3
    failed = [row for row in read(output) if row["error"] is not None]
    assert [(row["response"], row["usage"]) for row in failed] == [(None, None)] * 3
    assert all(row["error"].startswith("forbidden_error: ") for row in failed)
    assert run(source, output, retry_errors=True).failed == 0
    assert [row["response"] for row in read(output)] == PROMPTS


def test_other_requests_are_refused(run: Any, tmp_path: Path) -> None:
    source, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    source.write_bytes(as_parquet(TABLE))
    run(source, output)
    for other in (
        DataOptions(prompt_column="question", model="other"),
        DataOptions(prompt_column="question", model="m"),
        DataOptions(prompt_column="question", model="m", parameters={"temperature": 0.2}, system="s"),
    ):
        with pytest.raises(nomyo.BatchError, match="or what its rows ask"):
            run(source, output, other)
    source.write_bytes(as_parquet(TABLE.slice(1)))
    with pytest.raises(nomyo.BatchError, match="is not the one that"):
        run(source, output)
