"""What files say of themselves beside their columns is kept in the output, as far as it is true there."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import nomyo.batch
from nomyo.batch import DataOptions
from support.batch_scene import PromptNotingRouter, open_command

PANDAS = {
    "index_columns": ["__index_level_0__"],
    "column_indexes": [{"name": None, "field_name": None, "pandas_type": "unicode", "numpy_type": "object"}],
    "columns": [
        {"name": "q", "field_name": "q", "pandas_type": "unicode", "numpy_type": "object", "metadata": None},
        {"name": "n", "field_name": "n", "pandas_type": "int64", "numpy_type": "int64", "metadata": None},
        {"name": None, "field_name": "__index_level_0__", "pandas_type": "int64", "numpy_type": "int64"},
    ],
    "pandas_version": "2.2.0",
}
TEXT = {"dtype": "string", "_type": "Value"}
COUNT = {"dtype": "int64", "_type": "Value"}
LABEL = {"names": ["no", "yes"], "_type": "ClassLabel"}
FEATURES = {"q": TEXT, "n": LABEL, "__index_level_0__": COUNT}
METADATA = {
    "pandas": json.dumps(PANDAS),
    "huggingface": json.dumps({"info": {"features": FEATURES, "dataset_size": 7}, "fingerprint": "f"}),
    "license": "CC0-1.0-canary",
    "org.apache.spark.sql.parquet.row.metadata": '{"fields": ["q", "n"]}',
    "parquet.avro.schema": "{}",
    "geo": json.dumps({"primary_column": "n", "columns": {"n": {}}}),
}
TABLE = pa.table(
    {"q": ["a", "b"], "n": [0, 1], "__index_level_0__": [7, 8]},
    schema=pa.schema(
        [pa.field("q", pa.string(), metadata={"lang": "de"}), ("n", pa.int64()), ("__index_level_0__", pa.int64())],
        METADATA,
    ),
)
Run = Callable[..., pa.Schema]


def schema_of(path: Path) -> pa.Schema:
    return pq.read_schema(path) if path.suffix == ".parquet" else pa.ipc.open_file(path).schema


@pytest.fixture
def run(noting: PromptNotingRouter, key_directory: Path, tmp_path: Path) -> Run:
    def run(source: Any, output: str = "out.parquet", columns: list[str] | None = None, **options: Any) -> pa.Schema:
        own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory, **options}
        seals = "encrypt_to" in options
        data = DataOptions(prompt_column="q", model="m", columns=columns, seal_input_columns=seals)
        nomyo.batch.run(source, tmp_path / output, data=data, **own)
        return schema_of(tmp_path / output)

    return run


def told(schema: pa.Schema) -> dict[str, Any]:
    """Return metadata as text, and what is JSON parsed."""
    found = {key.decode(): value.decode() for key, value in (schema.metadata or {}).items()}
    return {key: json.loads(value) if value.startswith("{") else value for key, value in found.items()}


@pytest.mark.parametrize("output", ["out.parquet", "out.arrow"])
@pytest.mark.parametrize("kind", ["parquet", "arrow", "memory"])
def test_metadata_is_kept_where_it_is_true(kind: str, output: str, run: Run, tmp_path: Path) -> None:
    source: Any = TABLE if kind == "memory" else tmp_path / f"in.{kind}"
    if kind == "parquet":
        pq.write_table(TABLE, source)
    elif kind == "arrow":
        with pa.ipc.new_file(source, TABLE.schema) as writer:
            writer.write_table(TABLE)
    schema = run(source, output)
    assert schema.field("q").metadata[b"lang"] == b"de"
    found = told(schema)
    assert set(found) == {"pandas", "huggingface", "license", "geo"}
    assert found["pandas"] == PANDAS
    usage = dict.fromkeys(["prompt_tokens", "completion_tokens", "total_tokens"], COUNT)
    answer = {"response": TEXT, "finish_reason": TEXT, "usage": usage, "error": TEXT, "custom_id": TEXT}
    assert found["huggingface"] == {"info": {"features": {**FEATURES, **answer}}}
    assert found["license"] == "CC0-1.0-canary"


def test_columns_that_are_left_out_or_renamed_are_so_in_the_metadata(run: Run) -> None:
    found = told(run(TABLE, columns=["q", "number=n", "response"]))
    assert [each["field_name"] for each in found["pandas"]["columns"]] == ["q"]
    assert found["pandas"]["index_columns"] == []
    assert found["huggingface"]["info"]["features"] == {"q": TEXT, "number": LABEL, "response": TEXT}
    assert "geo" not in found


def test_nothing_is_kept_without_a_column_of_the_input(run: Run) -> None:
    assert told(run(TABLE, columns=["response"])) == {}


def test_only_what_all_files_say_is_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    for place, licence in enumerate(["CC0-1.0-canary", "CC-BY"]):
        counted = {
            **PANDAS,
            "index_columns": [{"kind": "range", "name": None, "start": 0, "stop": 2 + place, "step": 1}],
        }
        table = TABLE.replace_schema_metadata({"pandas": json.dumps(counted), "license": licence, "by": "me"})
        pq.write_table(table, tmp_path / "parts" / f"{place}.parquet")
    found = told(run(tmp_path / "parts"))
    assert set(found) == {"pandas", "by"}
    assert found["pandas"]["index_columns"] == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"columns": 7}', '{"info": null}', "[" * 100_000])
def test_metadata_of_another_form_is_left_out(text: str, run: Run) -> None:
    found = told(run(TABLE.replace_schema_metadata(dict.fromkeys(["pandas", "huggingface", "geo"], text))))
    assert found == {}


def test_names_that_are_no_text_are_not_said_of_the_answer_s_columns(run: Run) -> None:
    """pandas would make numbers of all names, and fail on `response`."""
    numbers = {**PANDAS, "column_indexes": [{"name": None, "pandas_type": "int64", "numpy_type": "int64"}]}
    found = told(run(TABLE.replace_schema_metadata({"pandas": json.dumps(numbers)})))
    assert found["pandas"]["column_indexes"] == []


def test_metadata_of_sealed_columns_is_sealed_as_well(run: Run, archive: Path, tmp_path: Path) -> None:
    assert told(run(TABLE, encrypt_to=archive / "public_key.pem")) == {}
    assert b"CC0-1.0-canary" not in (tmp_path / "out.parquet").read_bytes()
    plain = tmp_path / "plain.parquet"
    done = open_command(tmp_path / "out.parquet", "--key-dir", archive, "-o", plain)
    assert done.returncode == 0, done.stderr
    assert told(schema_of(plain))["license"] == "CC0-1.0-canary"
    assert told(schema_of(plain))["pandas"] == PANDAS
