"""Small files that become large, deep or endless: memory and time are bounded, and rows that can be sent are sent."""

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
from nomyo.batch.data.answers import answer_of
from nomyo.batch.data.arrow_files import arrow_reader
from nomyo.batch.data.files import InputFile, known_format
from nomyo.batch.data.tables import TableReader
from nomyo.batch.data.template import Template, TemplateFaultError
from nomyo.batch.data.text_files import text_reader
from support.batch_scene import PromptNotingRouter

ASKED = DataOptions(prompt_column="q", model="m")
TOO_DEEP = "invalid_row: the line is JSON that is too deep, or has a number that is too long"


@pytest.fixture
def run(noting: PromptNotingRouter, key_directory: Path, tmp_path: Path) -> Any:
    def run(source: str, output: str = "out.jsonl", data: DataOptions = ASKED) -> Path:
        own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory}
        nomyo.batch.run(tmp_path / source, tmp_path / output, data=data, **own)
        return tmp_path / output

    return run


def rows_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.read_bytes().splitlines()]


def nested(levels: int, opening: str = "[", closing: str = "]") -> str:
    return f"{opening * levels}1{closing * levels}"


@pytest.mark.parametrize("levels", [300, 600, 900, 100_000])
@pytest.mark.parametrize("parts", [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_rows_that_are_nested_too_deeply_are_errors(
    levels: int, parts: tuple[str, str], run: Any, tmp_path: Path
) -> None:
    lines = ['{"q": "a"}', f'{{"q": "b", "m": {nested(levels, *parts)}}}', '{"q": "c", "m": [1]}']
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    rows = rows_of(run("in.jsonl"))
    assert [row["response"] for row in rows] == ["a", None, "c"]
    assert [row["error"] for row in rows] == [None, TOO_DEEP, None]


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet", "out.arrow", "out.arrows"])
def test_rows_that_are_nested_stand_in_every_format(name: str, run: Any, tmp_path: Path) -> None:
    """Arrow's files hold 64 levels at most (`IpcWriteOptions`), so more become text."""
    lists, objects = nested(150), nested(70, '{"a":', "}")
    (tmp_path / "in.jsonl").write_text(f'{{"q": "a", "m": {lists}, "o": {objects}, "n": [[1]]}}\n')
    output = run("in.jsonl", name)
    assert output.stat().st_size
    if name == "out.parquet":
        row = pq.read_table(output).to_pylist()[0]
        assert (json.loads(row["m"]), json.loads(row["o"]), row["n"]) == (json.loads(lists), json.loads(objects), [[1]])


@pytest.mark.parametrize("levels", [300, 600, 900, 100_000])
def test_messages_that_are_nested_too_deeply_are_errors(levels: int, run: Any, tmp_path: Path) -> None:
    deep = f'[{{"role": "user", "content": {nested(levels)}}}]'
    messages = [deep, '[{"role": "user", "content": "b"}]']
    pq.write_table(pa.table({"q": messages}), tmp_path / "in.parquet")
    rows = rows_of(run("in.parquet", data=DataOptions(messages_column="q", model="m")))
    assert rows[0]["error"] == TOO_DEEP.replace("the line", "messages")
    assert rows[1]["response"] == "b"


@pytest.mark.parametrize("levels", [100, 500, *range(900, 1000, 7), 5000])
def test_answers_that_are_nested_deeply_stand_in_the_output(levels: int) -> None:
    """Whoever writes the journal can nest more than whoever reads it: the stack is not the same."""
    body = f'{{"choices": [{{"message": {{"content": "x"}}}}], "more": {nested(levels)}}}'
    line = f'{{"id":"batch_req_1","custom_id":"a","response":{{"status_code":200,"body":{body}}},"error":null}}\n'
    found = answer_of(line.encode())
    assert found["response"] in ("x", None)
    assert (found["response"] is None) == (found["error"] is not None)


def largest(batches: Any) -> int:
    """Return the size in bytes of the largest batch, with every cell of its own."""
    return max(sum(len(str(cell)) for column in batch.to_pydict().values() for cell in column) for batch in batches)


@pytest.mark.parametrize("encoding", ["dictionary", "DELTA_BYTE_ARRAY"])
def test_cells_that_parquet_stores_once_are_read_few_at_a_time(encoding: str, tmp_path: Path) -> None:
    """Half a megabyte here; without bounds, a thousand rows of it are 5 GB."""
    path = tmp_path / "in.parquet"
    cells = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), pa.array(["x" * (5 << 20)]))
    if encoding == "dictionary":
        pq.write_table(pa.table({"q": cells}), path, dictionary_pagesize_limit=1 << 30)
    else:
        plain = pa.table({"q": ["x" * (5 << 20)] * 30})
        pq.write_table(plain, path, use_dictionary=False, column_encoding={"q": encoding}, compression="zstd")
    assert path.stat().st_size < 1 << 20
    reader = arrow_reader(InputFile(path, path.name, known_format(path)))
    assert largest(reader.batches(reader.schema())) <= 64 << 20
    assert sum(1 for _ in reader.records()) == reader.count()


@pytest.mark.parametrize("kind", ["dictionary", "view"])
def test_cells_that_arrow_stores_once_are_read_few_at_a_time(kind: str, tmp_path: Path) -> None:
    cells: Any = pa.DictionaryArray.from_arrays(pa.array([0] * 100, pa.int32()), pa.array(["x" * (5 << 20)]))
    if kind == "view":
        views = pa.array(["x" * (5 << 20)], pa.string_view())
        cells = pa.concat_arrays([views] * 100)
    table = pa.table({"q": cells})
    path = tmp_path / "in.arrow"
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    file = arrow_reader(InputFile(path, path.name, known_format(path)))
    for reader in (TableReader(table), file):
        assert largest(reader.batches(table.schema)) <= 5 << 20
        assert sum(1 for _ in reader.records()) == 100


def test_very_wide_rows_are_gathered_few_at_a_time(tmp_path: Path) -> None:
    names = [f"c{number}" for number in range(20_000)]
    (tmp_path / "in.csv").write_text("\n".join([",".join(names), *["," * (len(names) - 1)] * 20]))
    path = tmp_path / "in.csv"
    reader = text_reader(InputFile(path, path.name, known_format(path)))
    assert max(batch.num_rows for batch in reader.batches(reader.schema())) <= 4


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{% for i in range(10**9) %}x{% endfor %}", "OverflowError"),
        ("{% for i in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}", "more than 1,000,000 steps"),
        ("{% for a in q %}{% for b in q %}{% for c in q %}{% endfor %}{% endfor %}{% endfor %}", "1,000,000 steps"),
        (
            "{% set s %}{% for i in range(2000) %}{% for k in range(2000) %}{% endfor %}{% endfor %}{% endset %}",
            "steps",
        ),
        ("{% for i in range(20000) %}{{ q }}{% endfor %}", "more than 10,485,760 characters"),
        ("{{ missing }}", "UndefinedError"),
    ],
)
def test_templates_that_would_not_end_fail_on_their_row(text: str, words: str) -> None:
    template = Template(text, "t.j2")
    for _ in range(2):
        with pytest.raises(TemplateFaultError, match=words):
            template({"q": "x" * 1000})


def test_loops_of_templates_are_as_jinja_has_them() -> None:
    text = "{% for a in l %}{{ loop.index }}/{{ loop.length }}{{ '.' if loop.last }}{% else %}none{% endfor %}"
    template = Template(text, "t.j2")
    assert (template({"l": ["x", "y"]}), template({"l": []})) == ("1/22/2.", "none")
    assert template.variables == {"l"}
