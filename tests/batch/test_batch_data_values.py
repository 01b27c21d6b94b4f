"""Values of every type: those that Python, or the output's format, lacks cost no row, and no other prompt is sent."""

from __future__ import annotations

import csv
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import nomyo.batch
from nomyo.batch import DataOptions
from nomyo.batch.data import text_files
from support.batch_scene import PromptNotingRouter, open_command

CANARY = "canary-cell-8d2e"


def stream_file(path: Path, table: pa.Table) -> Path:
    with pa.ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table)
    return path


@pytest.fixture
def run(noting: PromptNotingRouter, key_directory: Path, tmp_path: Path) -> Any:
    def run(source: object, output: str = "out.jsonl", template: str | None = None, **more: Any) -> Path:
        asked: dict[str, Any] = {"prompt_column": "q"}
        if template is not None:
            (tmp_path / "prompt.j2").write_text(template)
            asked = {"template": tmp_path / "prompt.j2"}
        own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory}
        own |= {"encrypt_to": more.pop("encrypt_to", None)}
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


UNION = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array([CANARY, "y"])])
INTERVAL = pa.array([(1, 2, 3), None], pa.month_day_nano_interval())
STRUCTS = pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int8()), pa.array([{"a": CANARY}]))
UNWRITABLE = {
    "interval": (INTERVAL, "Parquet", "month_day_nano_interval", [1, 2, 3]),
    "union": (UNION, "Parquet", "sparse_union<0: int64=0, 1: string=1>", 1),
    "runs": (
        pa.RunEndEncodedArray.from_arrays(pa.array([1, 2], pa.int32()), pa.array([CANARY, "y"])),
        "Parquet",
        "run_end_encoded<run_ends: int32, values: string>",
        CANARY,
    ),
    "empty": (pa.array([{}, None], pa.struct([])), "Parquet", "struct<>", {}),
    "within": (
        pa.array([[{"a": (1, 2, 3)}], None], pa.list_(pa.struct([("a", INTERVAL.type)]))),
        "Parquet",
        "list<",
        [{"a": [1, 2, 3]}],
    ),
    "scale": (pa.array([Decimal("1e3"), None], pa.decimal128(10, -3)), "Parquet", r"decimal128\(10, -3\)", "1E+3"),
    "structs": (STRUCTS, "Arrow IPC", "dictionary<values=struct<a: string>", {"a": CANARY}),
}


@pytest.mark.parametrize("name", UNWRITABLE)
def test_types_that_the_output_lacks_are_refused_before_the_first_row(
    name: str, run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    column, kind, words, value = UNWRITABLE[name]
    table = pa.table({"q": ["a", "b"], "fine": [1, 2], "x": column})
    output = "out.parquet" if kind == "Parquet" else "out.arrow"
    refused = rf"^{kind} has no type for the column 'x', which is {words}.*: give the output another format, or leave"
    for source in (table, stream_file(tmp_path / "in.arrows", table)):
        with pytest.raises(ValueError, match=refused) as caught:
            run(source, output)
        assert CANARY not in str(caught.value)
        assert caught.value.__context__ is None
    with pytest.raises(ValueError, match="'y', which is"):
        run(table, output, columns=["fine", "y=x"])
    assert noting.prompts == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.arrows"]
    run(table, output, columns=["fine", "response"])
    assert pa.ipc.open_stream(run(table, "out.arrows")).read_all()["x"].to_pylist() == column.to_pylist()
    assert json_rows(run(table))[0]["x"] == value
    with run(table, "out.csv").open(newline="") as file:
        assert next(csv.DictReader(file))["x"] == (value if isinstance(value, str) else json.dumps(value))


def test_sealed_columns_may_have_any_type(run: Any, archive: Path, tmp_path: Path) -> None:
    table = pa.table({"q": ["a", "b"], **{name: case[0] for name, case in UNWRITABLE.items()}})
    sealed = run(table, "out.parquet", encrypt_to=archive / "public_key.pem", seal_input_columns=True)
    done = open_command(sealed, "--key-dir", archive, "-o", tmp_path / "plain.parquet")
    assert done.returncode == 2, done.stderr
    assert b"Parquet has no type for the column 'interval', which is month_day_nano_interval" in done.stderr
    assert not (tmp_path / "plain.parquet").exists()
    done = open_command(sealed, "--key-dir", archive, "-o", tmp_path / "plain.arrows")
    assert done.returncode == 0, done.stderr
    opened = pa.ipc.open_stream(tmp_path / "plain.arrows").read_all()
    assert opened.select(table.column_names).to_pylist() == table.to_pylist()


REQUIRED = [pa.field("a", pa.int64(), nullable=False)]


def test_values_that_the_output_lacks_are_told_by_their_column(
    run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    """Here a null where the type says that none is."""
    table = pa.table({"q": ["a", "b"], "x": pa.StructArray.from_arrays([pa.array([1, None])], fields=REQUIRED)})
    words = (
        r"^the column 'x' \(struct<a: int64 not null>\) has values that Parquet cannot hold: give the output another"
    )
    with pytest.raises(nomyo.BatchError, match=words) as caught:
        run(table, "out.parquet")
    assert caught.value.__context__ is None
    assert not (tmp_path / "out.parquet").exists()
    assert pq.read_table(run(table, "out.parquet", columns=["q", "response"]))["response"].to_pylist() == ["a", "b"]
    assert sorted(noting.prompts) == ["a", "b"], "the answers are kept"


@pytest.mark.parametrize("output", ["out.parquet", "out.arrow", "out.arrows"])
def test_parts_of_a_column_may_be_required(output: str, run: Any) -> None:
    """Although no null of such a column can be written, with which types are tried."""
    parts = pa.StructArray.from_arrays([pa.array([1, 2])], fields=REQUIRED)
    lists = pa.array([[{"a": 1}], [{"a": 2}]], pa.list_(pa.field("item", pa.struct(REQUIRED), nullable=False)))
    written = run(pa.table({"q": ["a", "b"], "x": parts, "y": lists}), output)
    table = pq.read_table(written) if output == "out.parquet" else None
    if table is None:
        table = (pa.ipc.open_file if output == "out.arrow" else pa.ipc.open_stream)(written).read_all()
    assert table.select(["x", "y"]).to_pylist() == [{"x": {"a": n}, "y": [{"a": n}]} for n in (1, 2)]


def test_dictionaries_that_differ_are_values_in_an_arrow_file(run: Any) -> None:
    parts = [pa.array(values).dictionary_encode() for values in (["a", "b"], ["c", "d"])]
    output = run(pa.table({"q": ["1", "2", "3", "4"], "x": pa.chunked_array(parts)}), "out.arrow")
    assert pa.ipc.open_file(output).read_all()["x"].to_pylist() == ["a", "b", "c", "d"]


WORDS = pa.dictionary(pa.int8(), pa.string())
WITHIN = {
    "list": (pa.list_(WORDS), lambda word: [word, None]),
    "large": (pa.large_list(WORDS), lambda word: [word]),
    "struct": (pa.struct([("a", WORDS), pa.field("b", pa.list_(WORDS), nullable=False)]), lambda w: {"a": w, "b": [w]}),
    "map": (pa.map_(pa.string(), WORDS), lambda word: [("k", word)]),
}


@pytest.mark.parametrize("name", WITHIN)
def test_dictionaries_within_a_column_may_differ_in_an_arrow_file(name: str, run: Any) -> None:
    found, value = WITHIN[name]
    parts = [pa.array([value(word)], found) for word in "abc"]
    output = run(pa.table({"q": ["1", "2", "3"], "x": pa.chunked_array(parts)}), "out.arrow")
    assert pa.ipc.open_file(output).read_all()["x"].to_pylist() == [value(word) for word in "abc"]


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
