"""Rows between Arrow and OpenAI's format, secrets and parts: without a cluster, with the Python of `.venv-ray`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json
import pytest

from batch_scene import request
from nomyo.batch.header import Header
from nomyo.batch.lines import Survey
from nomyo.batch.ray.completions import Options
from nomyo.batch.ray.node_secrets import check_options, with_secrets
from nomyo.batch.ray.output import OutputFolder
from nomyo.batch.ray.part_file import PartFile
from nomyo.batch.ray.parts import MOST_BYTES, Part, cut, rows_in
from nomyo.batch.ray.rows import ANSWERS, _without_nulls, answers_of, rows_of
from nomyo.batch.records import BadRow, Row, answered, failed
from nomyo.errors import BatchError, RateLimitError
from nomyo.response import ChatCompletionResponse

TIME = np.datetime64("2026-11-25", "ns")


def _as_read_json_has_them(*rows: dict[str, Any]) -> list[Row | BadRow]:
    text = "\n".join(json.dumps(row) for row in rows)
    return rows_of(pyarrow.json.read_json(io.BytesIO(text.encode())))


def _body(**fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "Hello"}], **fields}


def _sent(*bodies: dict[str, Any]) -> list[dict[str, Any]]:
    rows = _as_read_json_has_them(*(request(number, body=body) for number, body in enumerate(bodies)))
    assert all(isinstance(row, Row) for row in rows), rows
    return [row.body for row in rows if isinstance(row, Row)]


def test_fields_that_only_other_rows_have_are_not_sent() -> None:
    tools = [{"type": "function", "function": {"name": "a", "parameters": {"properties": {"x": {"type": "string"}}}}}]
    bodies = [
        _body(temperature=0.5),
        _body(max_tokens=3, metadata={}),
        _body(tools=tools),
        _body(metadata={"a": {}}, stop=["x"]),
        _body(logit_bias={"50256": -100}),
    ]
    assert _sent(*bodies) == bodies


def test_whole_numbers_stay_whole() -> None:
    bodies = [_body(max_tokens=3), _body(seed=2**53 - 1)]
    assert json.dumps(_sent(*bodies)) == json.dumps(bodies)


def test_nulls_of_lists_stay() -> None:
    text = pa.array([{"custom_id": "a", "body": {"enum": [None, "a"], "user": None}}]).field("body")
    assert _without_nulls(text.to_pylist()) == [{"enum": [None, "a"]}]


def test_block_that_points_beyond_its_memory_is_not_read() -> None:
    with pytest.raises(ValueError, match="read_lines"):
        _as_read_json_has_them(request(1), request(2, body=_body(enum=[None, "a"])))


@pytest.mark.parametrize("changed", [{"user": "2026-11-25"}, {"seed": 12345678901234567890}])
def test_row_that_arrow_changed_is_not_sent(changed: dict[str, Any]) -> None:
    (row,) = _as_read_json_has_them(request(1, body=_body(**changed)))
    assert isinstance(row, BadRow)
    assert (row.custom_id, row.code) == ("row-1", "invalid_row")
    assert "read_lines" in str(row)


def test_rows_without_what_they_need_become_bad_rows_as_in_a_batch() -> None:
    missing, elsewhere = _as_read_json_has_them({"url": "/v1/chat/completions"}, request(2, url="/v1/embeddings"))
    assert isinstance(missing, BadRow)
    assert isinstance(elsewhere, BadRow)
    assert elsewhere.custom_id == "row-2"


def test_lines_are_read_as_they_stand() -> None:
    line = json.dumps(request(7, body=_body(seed=12345678901234567890, user="2026-11-25", stop=None))).encode()
    block = pa.table({"line": [7, 9, 10], "text": pa.array([line, b"{", None], pa.large_binary())})
    good, bad, long = rows_of(block)
    assert isinstance(good, Row)
    assert (good.line, good.body) == (7, _body(seed=12345678901234567890, user="2026-11-25", stop=None))
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.code) == (9, "invalid_json")
    assert isinstance(long, BadRow)
    assert str(long) == "the line is too long"


def test_text_without_line_numbers_is_read_too() -> None:
    (row,) = rows_of(pa.table({"text": [json.dumps(request(1))]}))
    assert isinstance(row, Row)
    assert row.custom_id == "row-1"


def test_arrays_of_numpy_are_read_like_tables() -> None:
    """Ray's default: objects in arrays, whose lists are arrays again where Arrow made them."""
    bodies = [_body(max_tokens=np.int64(3), stop=np.array(["x", "y"], object), user=None), _body(seed=2**53 - 1)]
    rows = [request(number, body=body) for number, body in enumerate(bodies)]
    read = rows_of({name: np.array([row[name] for row in rows], object) for name in rows[0]})
    assert [row.body for row in read if isinstance(row, Row)] == [
        _body(max_tokens=3, stop=["x", "y"]),
        _body(seed=2**53 - 1),
    ]
    (changed,) = rows_of({name: np.array([value], object) for name, value in request(1, body=_body(user=TIME)).items()})
    assert isinstance(changed, BadRow)
    (line,) = rows_of({"line": np.array([7]), "text": np.array([json.dumps(request(1)).encode()], object)})
    assert (line.line, line.custom_id) == (7, "row-1")
    assert rows_of({}) == []


def test_another_format_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match='"pyarrow"'):
        rows_of(pd.DataFrame({"text": ["{}"]}))


def test_answers_have_one_schema_whatever_is_in_them() -> None:
    row = Row(3, "row-3", {})
    rows = [
        answered(row, ChatCompletionResponse({"choices": [], "usage": {"a": 1}})),
        failed(4, None, BadRow(4, "invalid_json", "the line is not JSON")),
        failed(0, "row-0", RateLimitError("slowly")),
    ]
    blocks = [answers_of([each]) for each in rows] + [answers_of([])]
    assert {block.schema.to_string() for block in blocks} == {ANSWERS.to_string()}
    answer, bad, refused = pa.concat_tables(blocks).to_pylist()
    assert (answer["id"], answer["error"]) == ("batch_req_3", None)
    assert json.loads(answer["response"]["body"]) == {"choices": [], "usage": {"a": 1}}
    assert (bad["id"], bad["response"], bad["error"]["line"]) == ("batch_req_4", None, 4)
    assert (refused["id"], refused["custom_id"], refused["error"]["line"]) == (None, "row-0", None)
    assert refused["response"]["status_code"] == 429


@pytest.mark.parametrize("name", ["api_key", "key_rotation_password", "key_password", "password"])
def test_secret_as_an_argument_is_refused_without_showing_it(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} cannot be an argument: Ray would store it") as caught:
        check_options({name: "canary-secret"})
    assert "canary" not in str(caught.value)
    with pytest.raises(TypeError):
        Options(client_options={name: "canary-secret"})


def test_client_of_another_process_is_refused() -> None:
    with pytest.raises(TypeError, match="each actor has a client of its own"):
        check_options({"http_client": object()})


def test_secrets_come_from_files_of_the_node(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("the-key\n")
    (tmp_path / "password").write_text("the-password\n")
    options = with_secrets({"timeout": 3.0}, str(tmp_path / "key"), str(tmp_path / "password"))
    with options.pop("key_rotation_password") as password:
        assert bytes(password) == b"the-password"
    assert options == {"timeout": 3.0, "api_key": "the-key"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_at_once": 0},
        {"requests_at_once": 1.5},
        {"max_retries": -1},
        {"patience": float("inf")},
        {"patience": "1"},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(wrong))):
        Options(**wrong)


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
    source.write_bytes(b"".join(b"x" * (MOST_BYTES // 2) + b"\n" for _ in range(5)))
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
    with pytest.raises(BatchError, match=r"batch\.json is empty, and out holds rows"):
        OutputFolder(folder, _header(_survey(source)))
    assert (folder / "batch.json").read_bytes() == b""
