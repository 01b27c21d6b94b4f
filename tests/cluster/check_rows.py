"""Rows between Arrow and OpenAI's format, secrets and parts: without a cluster, with the Python of `.venv-ray`."""

from __future__ import annotations

import inspect
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.json
import pytest

from nomyo.batch.client_options import BatchOptions
from nomyo.batch.ray import SecureCompletions, run
from nomyo.batch.ray.completions import Options
from nomyo.batch.ray.node_secrets import REFUSED, check_options, with_secrets
from nomyo.batch.ray.rows import ANSWERS, _without_nulls, answers_of, rows_of
from nomyo.batch.records import BadRow, Row, answered, failed, read_row
from nomyo.errors import RateLimitError
from nomyo.responses import ChatCompletionResponse
from support.batch_scene import request

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


def test_half_of_a_character_ends_no_block() -> None:
    row = read_row(1, json.dumps(request(1, custom_id="\ud83d a")).encode())
    assert isinstance(row, Row)
    rows = [
        answered(row, ChatCompletionResponse({"a": "\ud800"})),
        failed(1, row.custom_id, ValueError("\ud800: JSON has no NaN")),
    ]
    answer, refused = answers_of(rows).to_pylist()
    assert [answer["custom_id"], refused["custom_id"]] == ["\ufffd a", "\ufffd a"]
    assert json.loads(answer["response"]["body"]) == {"a": "\ud800"}
    assert refused["error"]["message"] == "\ufffd: JSON has no NaN"


@pytest.mark.parametrize("name", ["api_key", "key_rotation_password", "key_password", "password"])
def test_secret_as_an_argument_is_refused_without_showing_it(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} cannot be an argument: Ray would store it") as caught:
        check_options({name: "canary-secret"})
    assert "canary" not in str(caught.value)
    with pytest.raises(TypeError):
        Options(client_options={name: "canary-secret"})


@pytest.mark.parametrize("made", [SecureCompletions, run])
def test_help_shows_all_options_of_a_client_but_those_that_are_refused(made: Any) -> None:
    shown = inspect.signature(made).parameters

    assert shown.keys() >= BatchOptions.__annotations__.keys() - set(REFUSED)
    assert not shown.keys() & set(REFUSED)
    assert {name: shown[name].default for name in ("timeout", "key_dir")} == {"timeout": 600.0, "key_dir": None}


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


def test_key_that_is_not_utf_8_is_told_by_its_file_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"canary-key-77\xff")
    with pytest.raises(ValueError, match="the content of api_key_file is not UTF-8") as raised:
        with_secrets({}, str(tmp_path / "key"), None)
    assert type(raised.value) is ValueError  # of Python's own error, the object is the key
    assert raised.value.__context__ is None


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
