"""Batches on the tables of polars, pandas, DuckDB and Hugging Face; run with the Python of `.venv-tables`.

Arguments: a library, the address of a router, a directory of keys, and a directory for journals.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import datasets
import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa

import nomyo.batch

COLUMNS = {"id": [1, 2, 3], "question": ["a", None, "c é"], "score": [0.5, None, 1.5]}


def filtered() -> Any:
    """Return a data set some of whose rows were filtered out: its table still has them."""
    more = {name: [*values, values[0]] for name, values in COLUMNS.items()}
    return datasets.Dataset.from_dict(more).select([0, 1, 2])


def mapped(folder: str) -> Any:
    """Return a data set that is mapped from the disk."""
    datasets.Dataset.from_dict(COLUMNS).save_to_disk(folder)
    return datasets.load_from_disk(folder)


LABELS = datasets.ClassLabel(names=["no", "yes"])
MAKERS: dict[str, Callable[[str], Any]] = {
    "polars": lambda _: pl.DataFrame(COLUMNS),
    "pandas": lambda _: pd.DataFrame(COLUMNS),
    "indexed": lambda _: pd.DataFrame(COLUMNS, index=pd.Index(["x", "y", "z"], name="name")),
    "numbered": lambda _: pd.DataFrame({0: [1, 2, 3], **COLUMNS}, index=[7, 8, 9]),
    "duckdb": lambda _: duckdb.from_arrow(pa.table(COLUMNS)).filter("id < 10"),
    "datasets": lambda folder: mapped(f"{folder}/saved"),
    "filtered": lambda _: filtered(),
    "labelled": lambda _: datasets.Dataset.from_dict({**COLUMNS, "label": [0, 1, 0]}).cast_column("label", LABELS),
}


def of_pandas(table: pa.Table) -> list[Any]:
    """Return the answers."""
    return [None if each is pd.NA or each != each else each for each in table.to_pandas()["response"]]


FROM_ARROW: dict[str, Callable[[pa.Table], list[Any]]] = {
    "polars": lambda table: pl.from_arrow(table)["response"].to_list(),
    "pandas": of_pandas,
    "indexed": of_pandas,
    "numbered": of_pandas,
    "duckdb": lambda table: [row[0] for row in duckdb.from_arrow(table).project("response").fetchall()],
    "datasets": lambda table: datasets.Dataset(table)["response"][:],
    "filtered": lambda table: datasets.Dataset(table)["response"][:],
    "labelled": lambda table: datasets.Dataset(table)["response"][:],
}


def check_metadata(name: str, path: str) -> None:
    """Check that pandas and Hugging Face find in an output what they noted in the input, and the answers beside it."""
    if name in ("indexed", "numbered", "pandas"):
        frame = pd.read_parquet(path)
        expected = {"indexed": ["x", "y", "z"], "numbered": [7, 8, 9], "pandas": [0, 1, 2]}
        assert frame.index.tolist() == expected[name], frame.index
        assert frame.index.name == ("name" if name == "indexed" else None)
        assert of_pandas(pa.Table.from_pandas(frame)) == ["a", None, "c é"]
    if name == "labelled":
        found = datasets.Dataset.from_parquet(path, cache_dir=f"{path}.cache")
        assert found.features["label"] == LABELS, found.features
        assert found["label"][:] == [0, 1, 0]
        assert found["usage"][0]["total_tokens"] > 0


def main(name: str, url: str, key_dir: str, folder: str) -> None:
    """Send a table, and again, which sends nothing; print what the library reads of the answers."""
    data = nomyo.batch.DataOptions(prompt_column="question", model="m", journal=f"{folder}/{name}.journal")
    own: dict[str, Any] = {"base_url": url, "allow_http": True, "key_dir": key_dir}
    table = MAKERS[name](folder)
    summary = nomyo.batch.run(table, data=data, **own)
    assert (summary.rows, summary.failed, summary.left) == (3, 1, 0), summary
    assert nomyo.batch.run(MAKERS[name](folder + "/again"), data=data, **own).done_before == 3
    assert summary.table["id"].to_pylist() == COLUMNS["id"]
    assert summary.table["score"].to_pylist() == COLUMNS["score"]
    assert summary.table["question"].to_pylist() == COLUMNS["question"]
    print(FROM_ARROW[name](summary.table))
    summary = nomyo.batch.run(
        table, f"{folder}/{name}.parquet", data=nomyo.batch.DataOptions(prompt_column="question", model="m"), **own
    )
    assert summary.table is None
    check_metadata(name, f"{folder}/{name}.parquet")
    by_polars = pl.read_parquet(f"{folder}/{name}.parquet")["response"].to_list()
    by_duckdb = [row[0] for row in duckdb.read_parquet(f"{folder}/{name}.parquet").project("response").fetchall()]
    assert by_polars == by_duckdb == ["a", None, "c é"], (by_polars, by_duckdb)


if __name__ == "__main__":
    main(*sys.argv[1:])
