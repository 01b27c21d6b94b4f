"""Parts of a batch over a cluster: how an input is cut, and what a part's file holds, whoever wrote it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.json
import pytest

from nomyo.batch.header import Header
from nomyo.batch.input_lines import Survey
from nomyo.batch.ray.completions import Outcome
from nomyo.batch.ray.output import OutputFolder
from nomyo.batch.ray.part_file import PartFile
from nomyo.batch.ray.part_sender import _DONE, _PartRun
from nomyo.batch.ray.part_source import LineSource
from nomyo.batch.ray.parts import MAX_PART_BYTES, Part, cut, rows_in
from nomyo.batch.records import Row, answered, failed
from nomyo.errors import BatchError
from nomyo.responses import ChatCompletionResponse
from support.batch_scene import request


def _cut(path: Path, rows_per_part: int) -> list[Part]:
    with path.open("rb") as file:
        return cut(file, rows_per_part)[1]


def test_parts_hold_each_row_once_with_its_line(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"\n\na\n\nb\nc\n \nd")
    parts = _cut(source, 2)
    assert [(part.line, part.last_line, part.rows) for part in parts] == [(1, 5, 2), (6, 8, 2)]
    assert [row for part in parts for row in rows_in(source, part)] == [
        (3, b"a\n"),
        (5, b"b\n"),
        (6, b"c\n"),
        (8, b"d"),
    ]


def test_part_of_large_rows_is_short(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"".join(b"x" * (MAX_PART_BYTES // 2) + b"\n" for _ in range(5)))
    assert [part.rows for part in _cut(source, 100)] == [2, 2, 1]


def test_nothing_is_sent_of_a_part_that_is_another_on_this_node(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"a\nb\n")
    first, second = _cut(source, 1)
    source.write_bytes(b"a\nB\n")
    assert list(rows_in(source, first)) == [(1, b"a\n")]
    with pytest.raises(BatchError, match="changed, or is another file"):
        list(rows_in(source, second))


def _row(line: int, *, error: bool = False) -> bytes:
    if error:
        return failed(line, "x", ValueError("no"))
    return answered(Row(line, "x", {}), ChatCompletionResponse({"a": line}))


def _finish(directory: Path, part: Part, *rows: bytes) -> PartFile:
    file = PartFile(directory, part)
    (directory / f"unfinished-{part.line:012}.jsonl").write_bytes(b"".join(rows))
    file.finish()
    return file


def test_finished_part_has_each_row_once_in_order(tmp_path: Path) -> None:
    part = Part(1, 3, 3, 0, 0, "")
    file = _finish(tmp_path, part, _row(2), _row(1), _row(2), b'{"id":"batch_req_9",', b"\n", _row(3))
    assert (tmp_path / "part-000000000001.jsonl").read_bytes() == _row(1) + _row(2) + _row(3)
    assert [path.name for path in tmp_path.iterdir()] == ["part-000000000001.jsonl"]
    assert [(mark.line, mark.failed) for mark in file.marks() or []] == [(1, False), (2, False), (3, False)]
    file.finish()  # another actor, which was slower


class _Generous:
    """Answers each row, with the largest counts that are figures."""

    failure = limit = None

    async def outcome(self, row: Row) -> Outcome:
        return Outcome(_row(row.line), (2**53, 2**53))


def test_sum_of_counts_fits_its_column_however_many_rows_a_part_has(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"".join(json.dumps(request(number)).encode() + b"\n" for number in range(1100)))
    [part] = _cut(source, 2000)
    generous: Any = _Generous()
    counts = asyncio.run(
        _PartRun(generous, PartFile(tmp_path, part)).counts(LineSource(str(source)), part, retry_errors=False)
    )
    [told] = pa.Table.from_pylist([counts], schema=_DONE).to_pylist()
    assert (told["rows"], told["prompt_tokens"], told["completion_tokens"]) == (1100, 2**53, 2**53)


def test_part_that_lacks_rows_is_not_finished(tmp_path: Path) -> None:
    part = Part(1, 2, 2, 0, 0, "")
    with pytest.raises(BatchError, match="lacks rows"):
        _finish(tmp_path, part, _row(2))
    assert PartFile(tmp_path, part).marks() is None
    assert PartFile(tmp_path, part).kept(retry_errors=False) == {2}


def test_torn_row_of_a_killed_actor_is_dropped_before_more_are_appended(tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished-000000000001.jsonl"
    unfinished.write_bytes(json.dumps(json.loads(_row(2))).encode() + b"\n" + _row(1)[:-5])
    assert PartFile(tmp_path, Part(1, 2, 2, 0, 0, "")).kept(retry_errors=False) == {2}
    assert unfinished.read_bytes() == _row(2)


@pytest.mark.parametrize("inside", [b"[" * 100_000, b"9" * 5000, b"\xff", b"1}}"])
def test_row_that_somebody_else_wrote_is_none_and_sent_again(inside: bytes, tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished-000000000001.jsonl"
    foreign = b'{"id":"batch_req_1","response":' + inside + b',"error":null}\n'
    unfinished.write_bytes(foreign + _row(2))
    assert PartFile(tmp_path, Part(1, 2, 2, 0, 0, "")).kept(retry_errors=False) == {2}
    assert unfinished.read_bytes() == _row(2)


@pytest.mark.parametrize("content", [b'{"format": ' + b"[" * 4000, b'{"format": ' + b"9" * 4000, b"[1]", b"\xff"])
def test_header_that_somebody_else_wrote_is_told_by_its_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "batch.json").write_bytes(content)
    with pytest.raises(BatchError, match=r"batch\.json is damaged, or of another version"):
        OutputFolder(tmp_path / "out", Header(Survey(1, 1, 1, "a"), ordered=True, sealed_for=None, rows_per_part=5))
    assert (tmp_path / "out" / "batch.json").read_bytes() == content


def test_whole_row_without_its_line_end_or_behind_a_byte_order_mark_counts(tmp_path: Path) -> None:
    unfinished = tmp_path / "unfinished-000000000001.jsonl"
    unfinished.write_bytes(b"\xef\xbb\xbf" + _row(2) + _row(1)[:-1])
    assert PartFile(tmp_path, Part(1, 2, 2, 0, 0, "")).kept(retry_errors=False) == {1, 2}
    assert unfinished.read_bytes() == _row(2) + _row(1)


@pytest.mark.parametrize("name", ["part-000000000001.jsonl", "unfinished-000000000001.jsonl"])
def test_file_of_a_part_that_holds_no_row_stays(name: str, tmp_path: Path) -> None:
    for content in (b"a note", b'[{"id":"batch_req_1"}]'):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BatchError, match=f"{name} holds no row of a batch"):
            PartFile(tmp_path, Part(1, 2, 2, 0, 0, "")).kept(retry_errors=False)
        assert (tmp_path / name).read_bytes() == content


def test_retried_part_keeps_answers_and_counts_as_unfinished_until_it_is_whole(tmp_path: Path) -> None:
    part = Part(1, 2, 2, 0, 0, "")
    file = _finish(tmp_path, part, _row(1, error=True), _row(2))
    assert file.kept(retry_errors=True) == {2}
    assert file.marks() is None
    assert file.kept(retry_errors=False) == {1, 2}  # a run that does not retry takes the errors as they were
    file.finish()
    assert [mark.failed for mark in file.marks() or []] == [True, False]


@pytest.mark.parametrize(
    ("damaged", "whole"),
    [
        (_row(2) + _row(4)[:-5], {2}),
        (_row(2)[:-5] + _row(4) + _row(5), {5}),
        (_row(2) + _row(4), {2, 4}),
        (_row(2) + _row(4) + b"\n", {2, 4}),
        (_row(2) + _row(4) + _row(4), {2, 4}),
        (_row(4) + _row(2) + _row(5), {2, 4, 5}),
        (_row(2) + _row(4) + _row(6), {2, 4}),
        (_row(1) + _row(2) + _row(4), {2, 4}),
        (b"", set()),
    ],
)
def test_damaged_part_is_not_done_and_keeps_what_is_whole(damaged: bytes, whole: set[int], tmp_path: Path) -> None:
    part = Part(2, 5, 3, 0, 0, "")
    file = _finish(tmp_path, part, _row(2), _row(4), _row(5))
    assert [mark.line for mark in file.marks() or []] == [2, 4, 5]
    (tmp_path / "part-000000000002.jsonl").write_bytes(damaged)
    assert file.marks() is None
    assert file.kept(retry_errors=False) == whole
    missing = [_row(line) for line in (2, 4, 5) if line not in whole]
    with (tmp_path / "unfinished-000000000002.jsonl").open("ab") as unfinished:
        unfinished.write(b"".join(missing))
    file.finish()
    assert [mark.line for mark in file.marks() or []] == [2, 4, 5]


def _header(survey: Survey, rows_per_part: int = 10) -> Header:
    return Header(survey, ordered=True, sealed_for=None, rows_per_part=rows_per_part)


def _survey(path: Path) -> Any:
    with path.open("rb") as file:
        return cut(file, 1)[0]


def test_output_belongs_to_one_input_and_one_job(tmp_path: Path) -> None:
    source, folder = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"a\n")
    survey = _survey(source)
    with OutputFolder(folder, _header(survey)), pytest.raises(BatchError, match="another job is working on out"):
        OutputFolder(folder, _header(survey))
    assert (folder.stat().st_mode & 0o777, (folder / "batch.json").stat().st_mode & 0o777) == (0o700, 0o600)
    with OutputFolder(folder, _header(survey)):
        pass
    with pytest.raises(BatchError, match="begun with rows_per_part=10"):
        OutputFolder(folder, _header(survey, 11))
    source.write_bytes(b"b\n")
    with pytest.raises(BatchError, match="not the one that out was begun with"):
        OutputFolder(folder, _header(_survey(source)))
    for damaged in (b"[]", b"{", b"{}"):
        (folder / "batch.json").write_bytes(damaged)
        with pytest.raises(BatchError, match="damaged"):
            OutputFolder(folder, _header(survey))


def test_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"a\n")
    with pytest.raises(BatchError, match="holds something else already"):
        OutputFolder(tmp_path, _header(_survey(source)))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_empty_header_is_a_new_one_where_nothing_else_is_alone(tmp_path: Path) -> None:
    source, folder = tmp_path / "in", tmp_path / "out"
    source.write_bytes(b"a\n")
    folder.mkdir()
    (folder / "batch.json").touch()  # a job that was killed as it began
    with OutputFolder(folder, _header(_survey(source))):
        assert (folder / "batch.json").stat().st_size > 0
    (folder / "part-000000000001.jsonl").touch()
    (folder / "batch.json").write_bytes(b"")
    with pytest.raises(BatchError, match=r"batch\.json is empty, so the input of the rows in out is unknown"):
        OutputFolder(folder, _header(_survey(source)))
    assert (folder / "batch.json").read_bytes() == b""
