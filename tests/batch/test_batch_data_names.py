"""Names of columns: whatever is UTF-8 comes out as it went in, and what is not is refused in words of its own."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import nomyo.batch
from nomyo import BatchError
from nomyo.batch import DataOptions
from support.batch_scene import PromptNotingRouter

ODD = ["", "\n", "a\0b", "\x1b[31m", "a.b", "\u202e", "c,d", '"', " ", "x=y"]
Run = Callable[..., Path]


@pytest.fixture
def run(noting: PromptNotingRouter, key_directory: Path, tmp_path: Path) -> Run:
    def run(source: Any, output: str, **options: Any) -> Path:
        own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory}
        data = DataOptions(**{"prompt_column": "q", "model": "m", **options})
        nomyo.batch.run(source, tmp_path / output, data=data, **own)
        return tmp_path / output

    return run


def stream_of(table: pa.Table, named: bytes, otherwise: bytes) -> bytes:
    """Return a table as a stream in which a name has other bytes."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert sink.getvalue().count(named) == 1
    return sink.getvalue().replace(named, otherwise)


def written(path: Path) -> list[str]:
    """Return the names of an output's columns."""
    if path.suffix == ".parquet":
        return list(pq.read_schema(path).names)
    if path.suffix == ".arrow":
        return list(pa.ipc.open_file(path).schema.names)
    if path.suffix == ".csv":
        return next(csv.reader(io.StringIO(path.read_text(), newline="")))
    return list(json.loads(path.read_text().splitlines()[0]))


@pytest.mark.parametrize("output", ["out.parquet", "out.arrow", "out.csv", "out.jsonl"])
@pytest.mark.parametrize("source", ["parquet", "jsonl", "csv"])
def test_every_name_of_text_comes_out_as_it_went_in(source: str, output: str, run: Run, tmp_path: Path) -> None:
    table = pa.table({"q": ["a"], **{name: ["x"] for name in ODD}})
    given = tmp_path / f"in.{source}"
    if source == "parquet":
        pq.write_table(table, given)
    elif source == "jsonl":
        given.write_text(json.dumps(table.to_pylist()[0]) + "\n")
    else:
        with given.open("w", newline="") as file:
            csv.writer(file).writerows([table.column_names, ["a"] + ["x"] * len(ODD)])
    names = written(run(given, output))
    assert names[: len(ODD) + 1] == ["q", *ODD]


@pytest.mark.parametrize("name", ODD)
def test_prompt_may_be_in_a_column_of_any_name(name: str, run: Run, noting: PromptNotingRouter) -> None:
    run(pa.table({name: ["a"], "other": ["b"]}), "out.jsonl", prompt_column=name)
    assert noting.prompts == ["a"]


NESTED = pa.table({"q": ["a"], "n": [[{"abcq": 1}]]})
FLAT = pa.table({"q": ["a"], "abcq": [1]})


@pytest.mark.parametrize("output", ["out.parquet", "out.jsonl"])
@pytest.mark.parametrize("table", [FLAT, NESTED], ids=["flat", "nested"])
@pytest.mark.parametrize("form", ["file", "parquet", "parts", "memory"])
def test_name_that_is_not_utf_8_is_refused(
    form: str, table: pa.Table, output: str, run: Run, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    content = stream_of(table, b"abcq", b"ab\xffq")
    given: Any = pa.ipc.open_stream(content).read_all()
    where = "the table"
    if form == "file":
        given, where = tmp_path / "in.arrow", "in.arrow"
        given.write_bytes(content)
    elif form != "memory":
        folder = tmp_path / "parts"
        folder.mkdir()
        pq.write_table(given, folder / "in.parquet", store_schema=False)
        if form == "parts":
            pq.write_table(table, folder / "a.parquet")
        given, where = folder if form == "parts" else folder / "in.parquet", "in.parquet"
    with pytest.raises(
        BatchError, match=f"^{where} has a column whose name, or a name within it, is not UTF-8"
    ) as caught:
        run(given, output)
    assert caught.value.__context__ is None
    assert noting.prompts == []
    assert not (tmp_path / output).exists()


@pytest.mark.parametrize("output", ["out.parquet", "out.jsonl", "out.csv"])
def test_half_a_surrogate_pair_in_a_name_is_an_error_of_its_row(
    output: str, run: Run, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"q": "a"}\n{"q": "b", "\\ud800": 1}\n{"q": "c", "n": {"\\udc00": 1}}\n')
    path = run(tmp_path / "in.jsonl", output)
    if output == "out.jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        text = io.StringIO("" if output == "out.parquet" else path.read_text())
        rows = pq.read_table(path).to_pylist() if output == "out.parquet" else list(csv.DictReader(text))
    assert [row["q"] for row in rows] == ["a", "b", "c"]
    assert [row["error"] or None for row in rows] == [
        None,
        "invalid_row: the line has a name with half of a surrogate pair, which is not UTF-8",
        None,
    ]
    assert sorted(noting.prompts) == ["a", "c"]
