"""OpenAI's batch format: what a row may be, what its outcome looks like, and what is left of a torn one."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nomyo
from nomyo.batch.input_lines import NumberedLines, survey
from nomyo.batch.records import BadRow, Mark, Row, answered, failed, read_mark, read_row, tokens_of
from nomyo.responses import ChatCompletionResponse
from support.batch_scene import request
from support.odd_answers import NAMED

BODY = request(1)["body"]
BAD = {
    "not JSON": (b'{"custom_id": "secret', "invalid_json"),
    "not UTF-8": (b'{"custom_id": "\xff"}', "invalid_json"),
    "too deep": (b"[" * 100_000, "invalid_json"),
    "a number too long": (b"1" * 10_000, "invalid_json"),
    "a tier twice": (
        b'{"custom_id": "secret", "body": {"security_tier": "high", "security\\u005ftier": "secret"}}',
        "invalid_json",
    ),
    "a custom_id twice": (b'{"custom_id": "secret", "custom_id": "secret"}', "invalid_json"),
    "an array": (b"[]", "invalid_row"),
    "a string": (b'"secret"', "invalid_row"),
    "null": (b"null", "invalid_row"),
    "no custom_id": (request(1, custom_id=None), "invalid_row"),
    "an empty custom_id": (request(1, custom_id=""), "invalid_row"),
    "a number as custom_id": (request(1, custom_id=7), "invalid_row"),
    "another method": (request(1, method="GET"), "invalid_row"),
    "another url": (request(1, url="/v1/embeddings"), "invalid_row"),
    "no body": (request(1, body=None), "invalid_row"),
    "a text as body": (request(1, body="secret"), "invalid_row"),
    "no model": (request(1, body={**BODY, "model": None}), "invalid_row"),
    "no messages": (request(1, body={"model": "m"}), "invalid_row"),
    "an API key": (request(1, body={**BODY, "api_key": "secret"}), "invalid_row"),
    "another router": (request(1, body={**BODY, "base_url": "https://secret"}), "invalid_row"),
    "a tier that does not exist": (request(1, body={**BODY, "security_tier": "secret\r\n"}), "invalid_row"),
}


def encoded(row: Any) -> bytes:
    return row if isinstance(row, bytes) else json.dumps(row).encode()


@pytest.mark.parametrize("row", BAD, ids=str)
def test_bad_row_says_why_without_content(row: str) -> None:
    content, code = BAD[row]
    bad = read_row(7, encoded(content))
    assert isinstance(bad, BadRow)
    assert (bad.line, bad.code) == (7, code)
    assert "secret" not in str(bad)
    assert bad.__context__ is None
    assert bad.custom_id in ("row-1", None)


def test_line_that_is_too_long_is_a_bad_row() -> None:
    [(number, content), (after, _)] = NumberedLines(io.BytesIO(b"x" * 100 + b"\n{}\n"), max_bytes=50)
    assert (number, content, after) == (1, None, 2)
    assert isinstance(read_row(number, content), BadRow)


def test_line_of_the_greatest_length_is_whole() -> None:
    assert [content for _, content in NumberedLines(io.BytesIO(b"x" * 49 + b"\n"), max_bytes=50)] == [b"x" * 49 + b"\n"]


@pytest.mark.parametrize("begin", [b"", b"\xef\xbb\xbf"], ids=["bare", "byte order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""], ids=["LF", "CRLF", "no end"])
def test_row_is_read_whatever_its_line_is_like(begin: bytes, end: bytes) -> None:
    row = read_row(1, begin + encoded(request(1)) + end)
    assert isinstance(row, Row)
    assert (row.line, row.custom_id, row.body) == (1, "row-1", BODY)
    assert "prompt" not in repr(row)


@pytest.mark.parametrize("tier", ["standard", "high", "maximum"])
def test_row_may_choose_its_tier(tier: str) -> None:
    assert isinstance(read_row(1, encoded(request(1, body={**BODY, "security_tier": tier}))), Row)


def test_blank_lines_are_no_rows_but_count_as_lines() -> None:
    source = io.BytesIO(b"\n{}\n  \r\n\n{}")
    assert [number for number, _ in NumberedLines(source)] == [2, 5]
    counted = survey(source)
    assert (counted.rows, counted.lines, counted.size_bytes) == (2, 5, 11)
    assert source.tell() == 0


def test_answer_is_a_row_of_openais_format() -> None:
    response = ChatCompletionResponse({"choices": [], "_metadata": {"payload_id": "an-id"}})
    assert json.loads(answered(Row(3, "é", {}), response)) == {
        "id": "batch_req_3",
        "custom_id": "é",
        "response": {"status_code": 200, "request_id": "an-id", "body": response},
        "error": None,
    }


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (nomyo.RateLimitError("words"), "rate_limit_error", 429),
        (nomyo.ForbiddenError("words"), "forbidden_error", 403),
        (nomyo.APIError("words", 504), "api_error", 504),
        (nomyo.APIConnectionError("words"), "connection_error", None),
        (nomyo.APIConnectionError("words", timed_out=True), "timeout", None),
        (nomyo.SecurityError("words"), "security_error", None),
        (ValueError("words"), "invalid_request", None),
        (BadRow(3, "invalid_json", "words"), "invalid_json", None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_is_a_row_of_openais_format(error: Exception, code: str, status: int | None) -> None:
    row = json.loads(failed(3, None, error))
    assert row["id"] == "batch_req_3"
    assert row["error"] == {"code": code, "message": "words", "line": 3}
    assert (row["response"] and row["response"]["status_code"]) == status
    if status is not None:
        assert row["response"]["body"]["error"]["message"] == "words"


def test_words_of_an_error_that_is_not_ours_are_not_shown() -> None:
    assert json.loads(failed(3, "x", RuntimeError("secret")))["error"]["message"] == "RuntimeError"


texts = st.text() | st.just('","error":null}\n') | st.just("\ud800")


@given(st.integers(1, 10**9), texts, texts, st.integers(0, 10_000))
def test_whole_row_has_a_mark_and_a_torn_one_has_none(line: int, custom_id: str, text: str, cut: int) -> None:
    for row, is_failed in (
        (answered(Row(line, custom_id, {}), ChatCompletionResponse({"text": text})), False),
        (failed(line, custom_id, nomyo.ForbiddenError(text)), True),
    ):
        assert read_mark(row) == Mark(line, is_failed)
        assert row.count(b"\n") == 1
        cut_off = 1 + cut % (len(row) - 1)
        assert read_mark(row[:-cut_off]) is None  # a tear
        hole = bytearray(row)
        hole[len(row) - cut_off] = 0
        assert read_mark(bytes(hole)) is None  # what a file system shows of a block that never reached the disk


@pytest.mark.parametrize("number", [10**5000, -(10**5000)], ids=["long", "-long"])
def test_answer_with_a_number_that_cannot_be_written_is_a_failure_of_its_row(number: int) -> None:
    """The client opens no such integer. Should one come, a row that cannot be written must not stop each run anew."""
    row = answered(Row(3, "a", {}), ChatCompletionResponse({"usage": number, "id": "secret"}))
    assert read_mark(row) == Mark(3, failed=True)
    read = json.loads(row)
    assert (read["custom_id"], read["response"], read["error"]["code"]) == ("a", None, "batch_error")
    assert "secret" not in read["error"]["message"]


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 3, "completion_tokens": 4}, (3, 4)),
        ({"prompt_tokens": 3, "completion_tokens": None}, (3, 0)),
        ({"prompt_tokens": 3.0, "completion_tokens": True}, (3, 0)),
        ({"prompt_tokens": 3.5, "completion_tokens": 4.0}, (0, 4)),
        ({"prompt_tokens": 2**53, "completion_tokens": 2**53 + 1}, (2**53, 0)),
        ({"prompt_tokens": "3", "completion_tokens": -4}, (0, 0)),
        ({"prompt_tokens": 10**5000, "completion_tokens": float("nan")}, (0, 0)),
        ({"prompt_tokens": float("inf")}, (0, 0)),
        (None, (0, 0)),
        ([], (0, 0)),
    ],
)
def test_tokens_are_counted_where_they_can_be(usage: Any, tokens: tuple[int, int]) -> None:
    """What cannot be shown would end a batch by its progress."""
    assert tokens_of(ChatCompletionResponse({"usage": usage})) == tokens


@pytest.mark.parametrize("what", NAMED)
def test_row_of_a_refusal_keeps_what_the_router_named(what: str) -> None:
    body, named = NAMED[what]
    refusal = nomyo.InvalidRequestError("its words", 400, json.loads(body))
    told = json.loads(failed(3, "a", refusal))
    unnamed = {"type": "invalid_request_error", "param": None, "code": None}
    assert told["response"]["body"] == {"error": {"message": "its words", **unnamed, **named}}
    assert told["error"] == {"code": "invalid_request_error", "message": "its words", "line": 3}
