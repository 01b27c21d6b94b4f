"""A table that changed between two runs is refused: no answer comes to stand beside a row that did not ask for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nomyo.batch
from nomyo import BatchError
from nomyo.batch import DataOptions
from nomyo.batch.progress import NoProgress
from support.batch_scene import PromptNotingRouter

ROWS = 12
ASKED = DataOptions(prompt_column="q", model="m")
Change = Callable[[Path], object]


def table(rows: int = ROWS, **more: Any) -> pa.Table:
    return pa.table({"q": [f"prompt {number}" for number in range(rows)], "n": range(rows), **more})


def parquet(given: pa.Table, name: str = "a.parquet") -> Change:
    return lambda folder: pq.write_table(given, folder / name)


class StopsAfterARow(NoProgress):
    """Stops its batch when one row is done."""

    def __init__(self) -> None:
        self.stop = nomyo.batch.Stop()

    def row(self, **_: Any) -> None:
        self.stop()


def last_instead_of_first(folder: Path) -> None:
    (folder / "a.parquet").rename(folder / "c.parquet")


@pytest.fixture
def run(noting: PromptNotingRouter, key_directory: Path, tmp_path: Path) -> Any:
    def run(source: Path, data: DataOptions = ASKED, **options: Any) -> nomyo.batch.Summary:
        own: dict[str, Any] = {"base_url": noting.url, "allow_http": True, "key_dir": key_directory, "concurrency": 1}
        return nomyo.batch.run(source, tmp_path / "out.jsonl", data=data, **own, **options)

    return run


def interrupted(run: Any, noting: PromptNotingRouter, source: Path, data: DataOptions = ASKED) -> None:
    stops = StopsAfterARow()
    assert run(source, data, stop=stops.stop, progress=stops).left > 0
    assert noting.prompts
    noting.prompts.clear()


@pytest.mark.parametrize(
    ("change", "files"),
    [
        pytest.param(parquet(table().take(list(range(ROWS))[::-1])), [], id="order"),
        pytest.param(parquet(table(ROWS + 1)), [], id="more"),
        pytest.param(parquet(table(ROWS - 1)), [], id="fewer"),
        pytest.param(parquet(table().set_column(1, "n", pa.array([0] * ROWS))), [], id="other values"),
        pytest.param(parquet(table(more=["x"] * ROWS)), [], id="new column"),
        pytest.param(parquet(table().select(["q"])), [], id="fewer columns"),
        pytest.param(parquet(table(1), "b.parquet"), [], id="new file"),
        pytest.param(lambda folder: (folder / "b.parquet").unlink(), ["b.parquet"], id="fewer files"),
        pytest.param(last_instead_of_first, ["b.parquet"], id="order of files"),
    ],
)
def test_files_that_changed_are_refused(
    change: Change, files: list[str], run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    parquet(table())(folder)
    parquet(table(2), "b.parquet.gz")  # left out: written by none of these
    for name in files:
        parquet(table(2), name)(folder)
    interrupted(run, noting, folder)
    change(folder)
    with pytest.raises(BatchError, match=r"the input, or what its rows ask .* is not the one"):
        run(folder)
    assert noting.prompts == []
    assert not (tmp_path / "out.jsonl").exists()


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"},
        {"system": "s"},
        {"parameters": {"temperature": 0.5}},
        {"prompt_column": "r"},
        {"prompt_column": None, "messages_column": "q"},
    ],
    ids=str,
)
def test_other_questions_to_the_same_rows_are_refused(
    other: dict[str, Any], run: Any, noting: PromptNotingRouter, tmp_path: Path
) -> None:
    parquet(table(r=["x"] * ROWS), "in.parquet")(tmp_path)
    interrupted(run, noting, tmp_path / "in.parquet")
    with pytest.raises(BatchError, match="is not the one"):
        run(tmp_path / "in.parquet", replace(ASKED, **other))
    assert noting.prompts == []


def test_other_template_of_the_same_name_is_refused(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    parquet(table(), "in.parquet")(tmp_path)
    template = tmp_path / "t.j2"
    template.write_text("{{ q }}")
    asked = DataOptions(template=template, model="m")
    interrupted(run, noting, tmp_path / "in.parquet", asked)
    template.write_text("{{ q }}!")
    with pytest.raises(BatchError, match="is not the one"):
        run(tmp_path / "in.parquet", asked)
    assert noting.prompts == []


def test_same_bytes_read_as_another_format_are_refused(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("q\n" + "prompt, with a comma\nprompt\n" * ROWS)
    interrupted(run, noting, tmp_path / "in.csv")
    (tmp_path / "in.csv").rename(tmp_path / "in.tsv")
    with pytest.raises(BatchError, match="is not the one"):
        run(tmp_path / "in.tsv")
    assert noting.prompts == []


def test_same_rows_of_another_name_go_on(run: Any, noting: PromptNotingRouter, tmp_path: Path) -> None:
    parquet(table(), "in.parquet")(tmp_path)
    interrupted(run, noting, tmp_path / "in.parquet")
    (tmp_path / "in.parquet").rename(tmp_path / "moved.parquet")
    assert run(tmp_path / "moved.parquet").done_before > 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [row["response"] for row in rows] == [row["q"] for row in rows] == table()["q"].to_pylist()
