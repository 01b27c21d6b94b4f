"""Values of every type: those that Python, or the output's format, lacks cost no row, and no other prompt is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import nomyo.batch
from nomyo.batch import DataOptions
from nomyo.batch.data import text_files
from support.batch_scene import PromptNotingRouter


@pytest.fixture
def run(noting: PromptNotingRouter, key_directory: Path, tmp_path: Path) -> Any:
    def run(source: object, output: str = "out.jsonl", template: str | None = None, **more: Any) -> Path:
        asked: dict[str, Any] = {"prompt_column": "q"}
        if template is not None:
            (tmp_path / "prompt.j2").write_text(template)
            asked = {"template": tmp_path / "prompt.j2"}
        own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory}
        given = tmp_path / source if isinstance(source, str) else source
        nomyo.batch.run(given, tmp_path / output, data=DataOptions(model="m", **asked, **more), **own)
        return tmp_path / output

    return run


def json_rows(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_bytes().splitlines()]


@pytest.mark.parametrize("template", ["{{ q }}", "{{ row }}", "{{ q | upper }}", "{% if q %}yes{% endif %}"])
def test_template_on_text_that_is_not_utf_8_is_an_error_of_its_row(
    template: str, run: Any, noting: PromptNotingRouter
) -> None:
    table = pa.table({"q": pa.array([b"a", b"b\xff"], pa.binary()).view(pa.string())})
    rows = json_rows(run(table, template=template))
    assert [row["error"] for row in rows] == [None, "invalid_row: the template needs a column that is not UTF-8"]
    assert len(noting.prompts) == 1


def test_template_takes_columns_that_are_called_as_jinja_s_functions(
    run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    pq.write_table(pa.table({"namespace": ["a"], "range": ["b"]}), tmp_path / "in.parquet")
    run("in.parquet", template="{{ namespace }} {{ range }}")
    assert noting.prompts == ["a b"]


NS = 1_000_000_001
TIMES = {
    "t": (pa.array([NS, None], pa.timestamp("ns")), "1970-01-01T00:00:01.000000001"),
    "zone": (pa.array([NS, None], pa.timestamp("ns", "Europe/Berlin")), "1970-01-01T01:00:01.000000001+0100"),
    "no_zone": (pa.array([1, None], pa.timestamp("us", "Mars/Base")), "1970-01-01T00:00:00.000001Z"),
    "far": (pa.array([10**15, None], pa.timestamp("ms")), "1000000000000000"),
    "time": (pa.array([NS, None], pa.time64("ns")), "00:00:01.000000001"),
    "took": (pa.array([NS, None], pa.duration("ns")), 1.000000001),
    "day": (pa.array([10**8, None], pa.int32()).view(pa.date32()), "100000000"),
    "list": (pa.array([[NS], None], pa.list_(pa.timestamp("ns"))), ["1970-01-01T00:00:01.000000001"]),
    "twice": (
        pa.StructArray.from_arrays([pa.array([1, 2]), pa.array(["x", "y"])], ["a", "a"]),
        [["a", 1], ["a", "x"]],
    ),
    "map": (pa.array([[("k", NS)], None], pa.map_(pa.string(), pa.duration("ns"))), [["k", 1.000000001]]),
}


@pytest.mark.parametrize("kind", TIMES)
def test_values_that_python_lacks_are_written_all_the_same(kind: str, run: Any) -> None:
    column, expected = TIMES[kind]
    output = run(pa.table({"q": ["a", "b"], "x": column}))
    [first, second] = json_rows(output)
    assert first["x"] == expected
    assert [first["response"], second["response"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ([2**60 + 1, 0.5], [str(2**60 + 1), "0.5"]),
        ([{"a": 2**60 + 1}, {"a": 0.5}], ['{"a": 1152921504606846977}', '{"a": 0.5}']),
        ([1, 0.5], [1.0, 0.5]),
        ([{}, {}], ["{}", "{}"]),
        ([{"a": [{}]}, None], ['{"a": [{}]}', None]),
    ],
)
def test_columns_of_json_that_no_type_holds_are_text(
    values: list[Any], written: list[Any], run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "MOST_ROWS", 1)
    (tmp_path / "in.jsonl").write_text("\n".join(json.dumps({"q": "a", "x": each}) for each in values))
    assert pq.read_table(run("in.jsonl", "out.parquet"))["x"].to_pylist() == written


def test_dictionaries_that_differ_are_values_in_an_arrow_file(run: Any) -> None:
    parts = [pa.array(values).dictionary_encode() for values in (["a", "b"], ["c", "d"])]
    output = run(pa.table({"q": ["1", "2", "3", "4"], "x": pa.chunked_array(parts)}), "out.arrow")
    assert pa.ipc.open_file(output).read_all()["x"].to_pylist() == ["a", "b", "c", "d"]


def test_files_may_differ_in_whether_values_may_be_null(run: Any, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for name, value, nullable in (("a", 1, False), ("b", None, True)):
        schema = pa.schema([("q", pa.string()), pa.field("x", pa.int64(), nullable=nullable)])
        pq.write_table(pa.table({"q": [name], "x": [value]}, schema=schema), tmp_path / "parts" / f"{name}.parquet")
    assert pq.read_table(run("parts", "out.parquet"))["x"].to_pylist() == [1, None]


@pytest.mark.parametrize("journal", ["out.jsonl", "link", "../{0}/out.jsonl"])
def test_journal_that_is_the_output_is_refused(
    journal: str, run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("q\na\n")
    (tmp_path / "link").symlink_to("out.jsonl")
    with pytest.raises(ValueError, match="the journal must not be the output"):
        run("in.csv", journal=tmp_path / journal.format(tmp_path.name))
    assert noting.prompts == []
