"""A job on tables: what it takes, what it writes, and what it refuses.

Its actors' work is done in this process, except in the tests that have a cluster.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import nomyo.batch
import nomyo.batch.ray as cluster_batch
from cluster.one_machine import CLIENT
from nomyo import _core
from nomyo.batch import DataOptions
from nomyo.batch.data.formats import PARQUET, Format
from nomyo.batch.data.opening import SealedTable
from nomyo.batch.ray.table_folder import TableFolder
from nomyo.batch.report import report_on
from nomyo.errors import BatchError
from support.batch_scene import PromptNotingRouter, request, write_input

# Ray's own and those of what it brings: of sockets that it leaves open, of what is to be deprecated.
pytestmark = pytest.mark.filterwarnings("ignore")

QUESTIONS: list[str | None] = [f"prompt {number} é" for number in range(1, 26)]
QUESTIONS[11] = None
TABLE = pa.table({"id": range(25), "question": QUESTIONS, "tags": [[str(number)] for number in range(25)]})
DATA = DataOptions(prompt_column="question", model="m")
NAMES = [f"part-{number:012}.parquet" for number in (1, 11, 21)]


@pytest.fixture
def table_file(tmp_path: Path) -> Path:
    pq.write_table(TABLE, tmp_path / "in.parquet", row_group_size=7)
    return tmp_path / "in.parquet"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    _core.write_key_directory(tmp_path / "archive", _core.PrivateKey.generate(2048))
    return tmp_path / "archive"


@pytest.fixture(autouse=True)
def _here(request: pytest.FixtureRequest) -> None:
    if "_cluster" not in request.fixturenames:
        request.getfixturevalue("_without_cluster")


@pytest.fixture(autouse=True)
def _fresh_router(router: PromptNotingRouter) -> Iterator[None]:
    router.prompts.clear()
    yield
    router.refused = set()


def _run(given: Any, output: Path, router: PromptNotingRouter, **options: Any) -> nomyo.batch.Summary:
    own = {"base_url": router.url, "rows_per_part": 10, "actors": 1, "data": DATA, **CLIENT, **options}
    return cluster_batch.run(given, output, **own)


def _alone(given: Any, output: Path, router: PromptNotingRouter, **options: Any) -> Any:
    """Return the rows that a batch on one machine writes."""
    own = {"base_url": router.url, "data": DATA, "key_dir": None, **CLIENT, **options}
    nomyo.batch.run(given, output, **own)
    return pq.read_table(output)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("_cluster")
def test_output_is_that_of_a_batch_on_one_machine(table_file: Path, tmp_path: Path, router: PromptNotingRouter) -> None:
    summary = _run(table_file, tmp_path / "out", router)
    assert (summary.rows, summary.succeeded, summary.failed, summary.left) == (25, 24, 1, 0)
    assert len(router.prompts) == 24
    alone = _alone(table_file, tmp_path / "alone.parquet", router)
    assert pq.read_table(tmp_path / "out") == alone
    assert pa.concat_tables(pq.read_table(tmp_path / "out" / name) for name in NAMES) == alone
    assert _names(tmp_path / "out") == ["_SUCCESS", "_journal", *NAMES]
    done = json.loads((tmp_path / "out" / "_SUCCESS").read_text())
    assert done == {"nomyo_batch_parts": 1, "rows": 25, "failed": 1, "parts": NAMES}
    assert "job" not in _names(tmp_path / "out" / "_journal")
    report = report_on(tmp_path / "out")
    assert (report.rows, report.failed, dict(report.errors)) == (25, 1, {"invalid_row": 1})


def _as_csv(path: Path) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "question"])
        rows.writerows([number, f"prompt {number}\nin two lines"] for number in range(25))
    with path.open("a") as file:
        file.write("25,one,too many\n")
    return path


def _as_json(path: Path) -> Path:
    rows = [{"question": f"prompt {number}", "tags": [number]} for number in range(23)]
    return write_input(path, [*rows, {"question": "the last", "new": 1.5}, b"{", {"question": 7}])


def _packed(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    return packed


def _folder(path: Path) -> Path:
    (path / "more").mkdir(parents=True)
    for place, name in enumerate(("a.parquet", "b.parquet", "more/c.parquet")):
        pq.write_table(TABLE.slice(9 * place, 9), path / name, row_group_size=4)
    return path


def _arrow(path: Path) -> Path:
    pyarrow.feather.write_feather(TABLE, path, chunksize=6)
    return path


INPUTS = {
    "csv": lambda folder: _as_csv(folder / "in.csv"),
    "csv.gz": lambda folder: _packed(_as_csv(folder / "in.csv")),
    "jsonl": lambda folder: _as_json(folder / "in.jsonl"),
    "arrow": lambda folder: _arrow(folder / "in.arrow"),
    "arrow.gz": lambda folder: _packed(_arrow(folder / "in.arrow")),
    "folder": lambda folder: _folder(folder / "in"),
    "glob": lambda folder: _folder(folder / "in") / "**" / "*.parquet",
    "table": lambda folder: TABLE,
}


@pytest.mark.parametrize("kind", INPUTS)
def test_all_that_a_batch_takes_is_taken(kind: str, tmp_path: Path, router: PromptNotingRouter) -> None:
    given = INPUTS[kind](tmp_path)
    summary = _run(given, tmp_path / "out", router, actors=2)
    assert summary.left == 0
    alone_data = DATA if kind != "table" else DataOptions(prompt_column="question", model="m")
    alone = _alone(given, tmp_path / "alone.parquet", router, data=alone_data)
    found = pq.read_table(tmp_path / "out")
    assert found == alone
    assert found.schema == alone.schema
    router.prompts.clear()
    assert _run(given, tmp_path / "out", router).done_before == summary.rows
    assert router.prompts == []


def test_stream_of_arrow_is_read_once(tmp_path: Path, router: PromptNotingRouter) -> None:
    summary = _run(pa.RecordBatchReader.from_batches(TABLE.schema, TABLE.to_batches()), tmp_path / "out", router)
    assert (summary.succeeded, summary.failed) == (24, 1)


def test_requests_of_a_folder_have_columns_of_answers_alone(tmp_path: Path, router: PromptNotingRouter) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_input(tmp_path / "in" / f"{name}.jsonl", [request(f"{name}{number}") for number in range(7)])
    _run(tmp_path / "in", tmp_path / "out", router, data=None)
    alone = _alone(tmp_path / "in", tmp_path / "alone.parquet", router, data=None)
    assert pq.read_table(tmp_path / "out") == alone
    assert alone.column_names == ["response", "finish_reason", "usage", "error", "custom_id"]


def test_input_without_a_row_makes_one_part_without_a_row(tmp_path: Path, router: PromptNotingRouter) -> None:
    assert _run(TABLE.slice(0, 0), tmp_path / "out", router).rows == 0
    assert pq.read_table(tmp_path / "out").num_rows == 0
    assert _names(tmp_path / "out") == ["_SUCCESS", "_journal", NAMES[0]]


@pytest.mark.parametrize("all_columns", [False, True])
def test_sealed_parts_open_with_the_private_key_alone(
    all_columns: bool, table_file: Path, tmp_path: Path, archive: Path, router: PromptNotingRouter
) -> None:
    data = DataOptions(prompt_column="question", model="m", seal_input_columns=all_columns)
    options: dict[str, Any] = {"data": data, "encrypt_to": archive / "public_key.pem"}
    _run(table_file, tmp_path / "out", router, **options)
    parts = [pq.read_table(tmp_path / "out" / name) for name in NAMES]
    names = ["sealed", "failed", "sealed_input"] if all_columns else [*TABLE.column_names, "sealed", "failed"]
    assert all(part.column_names == names for part in parts)
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or not all_columns or b"prompt" not in path.read_bytes()
    opened, (key, _) = [], _core.load_key_directory(archive, None)
    for name in NAMES:
        plain = tmp_path / name
        with plain.open("wb") as stream:
            SealedTable(tmp_path / "out" / name, key, lambda damaged: pytest.fail(damaged.reason)).write(
                stream, Format(PARQUET)
            )
        opened.append(pq.read_table(plain))
    assert pa.concat_tables(opened) == _alone(table_file, tmp_path / "alone.parquet", router)
    with pytest.raises(BatchError, match="out is sealed: it can only go on with"):
        _run(table_file, tmp_path / "out", router)


def test_second_call_makes_what_is_missing_and_nothing_else(
    table_file: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    _run(table_file, tmp_path / "out", router)
    whole = pq.read_table(tmp_path / "out")
    router.prompts.clear()
    (tmp_path / "out" / NAMES[0]).unlink()  # its journal is there
    (tmp_path / "out" / NAMES[1]).write_bytes(b"damaged")
    before = (tmp_path / "out" / NAMES[2]).stat().st_ino
    summary = _run(table_file, tmp_path / "out", router)
    assert (summary.done_before, summary.succeeded, summary.failed, router.prompts) == (25, 24, 1, [])
    assert (tmp_path / "out" / NAMES[2]).stat().st_ino == before
    journal = tmp_path / "out" / "_journal" / "part-000000000021.jsonl"
    rows = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(rows[:2]) + rows[2][:-9])
    summary = _run(table_file, tmp_path / "out", router)
    assert sorted(router.prompts) == ["prompt 23 é", "prompt 24 é", "prompt 25 é"]
    assert pq.read_table(tmp_path / "out") == whole
    assert (tmp_path / "out" / "_SUCCESS").exists()


def test_what_actors_read_is_for_the_owner_alone_and_gone_at_the_end_of_the_call(
    tmp_path: Path, router: PromptNotingRouter, monkeypatch: pytest.MonkeyPatch
) -> None:
    _run(TABLE, tmp_path / "out", router)
    job = tmp_path / "out" / "_journal" / "job"
    job.mkdir()
    (job / "table.arrows").write_bytes(b"left by a killed call")
    (tmp_path / "out" / NAMES[0]).unlink()
    seen: list[tuple[set[int], bool]] = []
    write = TableFolder.write_part

    def write_part(folder: TableFolder, *arguments: Any) -> None:
        modes = {path.stat().st_mode & 0o77 for path in (job, *job.iterdir())}
        seen.append((modes, (tmp_path / "out" / "_SUCCESS").exists()))
        write(folder, *arguments)

    monkeypatch.setattr(TableFolder, "write_part", write_part)
    before = os.umask(0)
    try:
        _run(TABLE, tmp_path / "out", router)
    finally:
        os.umask(before)
    assert seen == [({0}, False)]
    assert not job.exists()


def test_part_that_is_older_than_its_journal_is_made_again(
    table_file: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    """As a job leaves it that sent failed rows once more, and was killed before it wrote the part."""
    _run(table_file, tmp_path / "out", router)
    router.prompts.clear()
    journal = tmp_path / "out" / "_journal" / "part-000000000011.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b"the prompt is null", b"newer words"))
    assert _run(table_file, tmp_path / "out", router).done_before == 25
    assert router.prompts == []
    assert pq.read_table(tmp_path / "out")["error"][11].as_py() == "invalid_row: newer words"


def test_other_columns_are_written_without_sending(
    table_file: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    _run(table_file, tmp_path / "out", router)
    router.prompts.clear()
    data = DataOptions(prompt_column="question", model="m", columns=["id", "reply=response"])
    _run(table_file, tmp_path / "out", router, data=data)
    assert router.prompts == []
    found = pq.read_table(tmp_path / "out")
    assert found.column_names == ["id", "reply"]
    assert found["id"] == TABLE["id"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"data": DataOptions(prompt_column="qestion", model="m")}, r"no column 'qestion'.*question"),
        ({"data": DataOptions(prompt_column="id", model="m")}, "must be text"),
        ({"data": DataOptions(prompt_column="question", model="m", columns=["nothing"])}, "nothing"),
        ({"data": DataOptions(prompt_column="question", model="m", journal="j")}, "journal has no place"),
        ({"data": DataOptions(prompt_column="question", model="m", seal_input_columns=True)}, "needs encrypt_to"),
        ({"data": None}, "says nothing of what its rows ask"),
        ({"rows_per_part": 0}, "rows_per_part"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    change: dict[str, Any], words: str, table_file: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    with pytest.raises(ValueError, match=words):
        _run(table_file, tmp_path / "out", router, **change)
    assert not (tmp_path / "out").exists()
    assert router.prompts == []


def test_what_no_node_can_read_is_refused(tmp_path: Path, router: PromptNotingRouter) -> None:
    with pytest.raises(ValueError, match="stdin is none"):
        _run("-", tmp_path / "out", router)
    with pytest.raises(ValueError, match="no file matches"):
        _run(tmp_path / "*.parquet", tmp_path / "out", router)
    with pytest.raises(ValueError, match="data is needed"):
        _run(TABLE, tmp_path / "out", router, data=None)
    assert not (tmp_path / "out").exists()


def test_column_that_parquet_cannot_hold_is_refused_before_a_row_is_sent(
    tmp_path: Path, router: PromptNotingRouter
) -> None:
    table = TABLE.append_column("months", pa.nulls(25, pa.month_day_nano_interval()))
    with pytest.raises(ValueError, match="Parquet has no type for the column 'months'"):
        _run(table, tmp_path / "out", router)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["notes.txt", "part-000000000002.parquet", "batch.json", "_SUCCESS", ".hidden"])
def test_folder_that_holds_something_else_is_refused_by_its_name(
    name: str, table_file: Path, tmp_path: Path, router: PromptNotingRouter
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / name).write_bytes(b"of somebody else")
    with pytest.raises(BatchError, match=f"out holds something else already, {name}: name another output"):
        _run(table_file, output, router)
    assert _names(output) == [name]
    if name == "_SUCCESS":
        return
    (output / name).unlink()
    _run(table_file, output, router)
    (output / name).write_bytes(b"of somebody else")
    with pytest.raises(BatchError, match=f"out holds something else already, {name}"):
        _run(table_file, output, router)


def test_other_input_or_question_is_refused(table_file: Path, tmp_path: Path, router: PromptNotingRouter) -> None:
    _run(table_file, tmp_path / "out", router)
    router.prompts.clear()
    for change in ({"data": DataOptions(prompt_column="question", model="other")}, {"rows_per_part": 5}):
        with pytest.raises(BatchError, match=r"was begun with|not the one"):
            _run(table_file, tmp_path / "out", router, **change)
    pq.write_table(TABLE.slice(1), table_file)
    with pytest.raises(BatchError, match="not the one that out was begun with"):
        _run(table_file, tmp_path / "out", router)
    assert router.prompts == []


def test_output_that_would_become_input_is_refused(tmp_path: Path, router: PromptNotingRouter) -> None:
    folder = _folder(tmp_path / "in")
    for given in (folder, folder / "**" / "*.parquet"):
        with pytest.raises(ValueError, match="would be a part of the input"):
            _run(given, folder / "out", router)
    assert not (folder / "out").exists()


def test_input_in_the_output_is_refused(tmp_path: Path, router: PromptNotingRouter) -> None:
    (tmp_path / "out").mkdir()
    pq.write_table(TABLE, tmp_path / "out" / "in.parquet")
    with pytest.raises(ValueError, match="must not lie in the output"):
        _run(tmp_path / "out", tmp_path / "out", router)
    assert _names(tmp_path / "out") == ["in.parquet"]
