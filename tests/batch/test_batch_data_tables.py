"""Batches on tables in memory: they are given back with their answers, and go on as files do."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

import nomyo.batch
from nomyo.batch import DataOptions
from support.batch_scene import PromptNotingRouter
from support.process import unmeasured

REPOSITORY = Path(__file__).parents[2]
PROMPTS = [f"prompt {number} é" for number in range(30)]
CANARY = "canary-cell-8d2e"
TABLE = pa.table({"id": range(30), "question": PROMPTS})


class Streamed:
    """Speaks the Arrow C stream, and nothing else."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._table.__arrow_c_stream__(requested_schema)


class Unfit:
    """A frame with a column that Arrow cannot hold, as pandas has them."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return pa.array([CANARY, 1])


def broken() -> Iterator[pa.RecordBatch]:
    """A stream that fails on its way."""
    yield from TABLE.to_batches()
    raise ValueError(CANARY)


@pytest.fixture
def run(noting: PromptNotingRouter, key_directory: Path, tmp_path: Path) -> Callable[..., nomyo.batch.Summary]:
    def run(table: Any, output: Path | None = None, **options: Any) -> nomyo.batch.Summary:
        data = DataOptions(prompt_column="question", model="m", journal=tmp_path / "journal", **options)
        own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory}
        return nomyo.batch.run(table, output, data=data, **own)

    return run


@pytest.mark.parametrize(
    "form",
    [
        lambda table: table,
        Streamed,
        lambda table: table.to_batches()[0],
        lambda table: table.to_reader(7),
        lambda table: pa.chunked_array([table.to_struct_array().combine_chunks()]),
        ds.dataset,
        lambda table: ds.dataset(table).scanner(),
    ],
)
def test_table_comes_back_with_its_answers(form: Any, run: Any, noting: PromptNotingRouter) -> None:
    summary = run(form(TABLE))
    assert summary.table.select(TABLE.column_names) == TABLE
    assert summary.table["response"].to_pylist() == PROMPTS
    assert summary.table["custom_id"].to_pylist()[:2] == ["the table:1", "the table:2"]
    assert "table" not in repr(summary)
    # Other chunks and another form of the same rows are the same requests.
    chunked = pa.concat_tables([TABLE.slice(0, 7), TABLE.slice(7)])
    large = chunked.cast(pa.schema([("id", pa.int32()), ("question", pa.large_string())]))
    again = run(Streamed(large))
    assert (again.done_before, len(noting.prompts)) == (30, 30)
    assert again.table["response"].to_pylist() == PROMPTS


def test_other_rows_are_another_input(run: Any) -> None:
    run(TABLE)
    with pytest.raises(nomyo.BatchError, match="is not the one that journal was begun with"):
        run(TABLE.slice(1))


def test_table_and_output_file(run: Any, tmp_path: Path) -> None:
    summary = run(TABLE, tmp_path / "out.arrow")
    assert summary.table is None
    assert pa.ipc.open_file(tmp_path / "out.arrow").read_all()["response"].to_pylist() == PROMPTS


def test_sealed_table(run: Any, archive: Path, noting: PromptNotingRouter, key_directory: Path, tmp_path: Path) -> None:
    data = DataOptions(prompt_column="question", model="m", journal=tmp_path / "j", seal_input_columns=True)
    own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory}
    summary = nomyo.batch.run(TABLE, data=data, encrypt_to=archive / "public_key.pem", **own)
    assert summary.table.column_names == ["sealed", "failed", "sealed_input"]


class RayDataset:
    """Has the name and the look of a data set of Ray, which is not installed here."""

    __module__ = "ray.data.dataset"

    def to_arrow_refs(self) -> list[str]:
        return [CANARY]


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        (7, TypeError, r"must be a path, or a table .*; it is builtins\.int\. pyarrow\.table\("),
        ([{"question": CANARY}], TypeError, r"it is builtins\.list\. .* pyarrow\.Table\.from_pylist\(rows\) make"),
        ({"question": [CANARY]}, TypeError, r"it is builtins\.dict\."),
        (iter([CANARY]), TypeError, r"it is builtins\.list_iterator\."),
        ((each for each in [CANARY]), TypeError, r"it is builtins\.generator\."),
        (
            TABLE["question"],
            TypeError,
            r"it is pyarrow\.lib\.ChunkedArray, which does not stream a whole table with columns",
        ),
        (pa.array([CANARY]), TypeError, r"it is pyarrow\.lib\.StringArray\."),
        (pa.scalar(CANARY), TypeError, r"it is pyarrow\.lib\.StringScalar\."),
        (Unfit(), TypeError, r"Unfit, which does not stream a whole table with columns \(Arrow\w+\)\."),
        (TABLE.schema, TypeError, r"it is pyarrow\.lib\.Schema\."),
        (pa.RecordBatchReader.from_batches(TABLE.schema, broken()), TypeError, r"whole table with columns \(\w+\)\."),
        (RayDataset(), TypeError, r"write_parquet\(FOLDER\), and give that; or, .*concat_tables\(.*to_arrow_refs\(\)"),
        (TABLE.rename_columns(["id", "id"]), nomyo.BatchError, "the same name for two columns: 'id'"),
        (pa.table({"question": [1]}), ValueError, "must be text, and it is int64"),
        (pa.table({"questions": ["a"]}), ValueError, r"no column 'question'\. Did you mean 'questions'\?"),
    ],
)
def test_what_is_no_table_of_prompts_is_refused(given: Any, error: type[Exception], words: str, run: Any) -> None:
    with pytest.raises(error, match=words) as caught:
        run(given)
    assert CANARY not in str(caught.value)
    assert caught.value.__context__ is None


def test_table_without_output_needs_a_journal(noting: PromptNotingRouter) -> None:
    with pytest.raises(ValueError, match="journal is needed"):
        nomyo.batch.run(TABLE, data=DataOptions(prompt_column="question", model="m"), base_url=noting.url)
    with pytest.raises(ValueError, match="output is needed"):
        nomyo.batch.run("in.parquet", data=DataOptions(prompt_column="question", model="m"), base_url=noting.url)


@pytest.mark.outside("polars, pandas, DuckDB and Hugging Face's datasets")
@pytest.mark.parametrize(
    "name", ["polars", "pandas", "indexed", "numbered", "duckdb", "datasets", "filtered", "labelled"]
)
def test_frames_of_others(name: str, router: Any, key_directory: Path, tmp_path: Path) -> None:
    python = REPOSITORY / ".venv-tables" / "bin" / "python"
    assert python.exists(), ".venv-tables is missing: run `make tables`"
    (tmp_path / "again").mkdir()
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "PYTHONWARNINGS": "ignore"}
    words = [python, REPOSITORY / "tests" / "tables" / "frames.py", name, router.url, key_directory, tmp_path]
    done = subprocess.run(
        list(map(str, words)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=unmeasured() | offline | {"PYTHONPATH": str(REPOSITORY / "python")},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['a', None, 'c é']"
