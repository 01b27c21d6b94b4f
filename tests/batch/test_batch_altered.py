"""Rows of an output that somebody altered: what is noticed when the batch goes on, and what where rows are opened.

These are the lines of the table in docs/batch.md, "What is noticed of an altered output".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nomyo.batch
from nomyo import BatchError
from nomyo.batch.output_reader import Damaged
from support.batch_scene import EXPECTED, ROWS, Told, lines_of, opened, outcomes

Alter = Callable[[bytes], bytes]
LINE = 6
"""Of the row that is altered, in the input and in the output."""


def changed(**fields: Any) -> Alter:
    """Return what puts other values into a row; None takes a name out."""

    def alter(row: bytes) -> bytes:
        whole = {**json.loads(row), **fields}
        kept = {name: value for name, value in whole.items() if name not in fields or value is not None}
        return json.dumps(kept, separators=(",", ":")).encode() + b"\n"

    return alter


NOTICED: dict[str, Alter] = {
    "cut at its end": lambda row: row[:-30] + b"\n",
    "cut at its beginning": lambda row: row[5:],
    "with zeros in it": lambda row: row[:60] + bytes(20) + row[80:],
    "not UTF-8": lambda row: row[:60] + b"\xff" + row[61:],
    "not JSON": lambda row: b"not a row\n",
    "JSON, but no object": lambda row: b"[" + row[:-1] + b"]\n",
    "a blank line": lambda row: b"\n",
    "without its id": changed(id=None),
    "with an id of another form": changed(id="row-6"),
    "with the id of a line that the input lacks": changed(id=f"batch_req_{ROWS + 1}"),
    "with the id of another row": changed(id="batch_req_1"),
}
UNNOTICED: dict[str, Alter] = {
    "with another custom_id": changed(custom_id="row-99"),
    "without a custom_id": changed(custom_id=None),
    "with another answer": lambda row: row.replace(b"prompt 5", b"prompt 7"),
    "without an answer": changed(response=None),
}


def is_broken(row: bytes) -> bytes:
    """Return a row that is no JSON, though it begins and ends as one."""
    return row[:60] + b'}}"' + row[63:]


@pytest.fixture
def altered(run: Any, output: Path, faulty_router: Any) -> Callable[..., list[bytes]]:
    """Run a batch, alter one of its rows, and return the lines of the output."""

    def altered(alter: Alter, **options: Any) -> list[bytes]:
        run(ordered=True, **options)
        rows = lines_of(output)
        row = alter(rows[LINE - 1])
        assert row != rows[LINE - 1]
        output.write_bytes(b"".join([*rows[: LINE - 1], row, *rows[LINE:]]))
        faulty_router.received = []
        return lines_of(output)

    return altered


@pytest.mark.parametrize("how", NOTICED)
def test_row_that_is_none_any_more_is_told_of_and_sent_again(
    how: str, altered: Any, run: Any, output: Path, faulty_router: Any
) -> None:
    altered(NOTICED[how])
    told = Told()
    assert run(ordered=True, progress=told).done_before == ROWS - 1
    assert told.words == ["dropped 1 damaged line of the output"]
    assert len(faulty_router.posts) == 1
    assert outcomes(output) == EXPECTED


@pytest.mark.parametrize("how", [*UNNOTICED, "not JSON, in its middle"])
def test_row_that_is_still_one_counts_as_done_in_silence(
    how: str, altered: Any, run: Any, output: Path, faulty_router: Any
) -> None:
    before = altered(UNNOTICED.get(how, is_broken))
    told = Told()
    assert run(ordered=True, progress=told).done_before == ROWS
    assert (told.words, faulty_router.posts, lines_of(output)) == ([], [], before)


@pytest.mark.parametrize("how", UNNOTICED)
def test_row_that_is_still_one_is_read_as_it_stands(how: str, altered: Any, output: Path) -> None:
    before = altered(UNNOTICED[how])
    assert list(nomyo.batch.read(output)) == [json.loads(row) for row in before]


def test_row_that_is_no_json_in_its_middle_is_told_of_where_rows_are_read(altered: Any, output: Path) -> None:
    altered(is_broken)
    with pytest.raises(BatchError, match=f"line {LINE} of the output cannot be read: it is not JSON"):
        list(nomyo.batch.read(output))


FAILED: dict[str, Alter] = {
    "with an error": changed(error={"code": "made_up", "message": "", "line": LINE}),
    "without error": changed(error=None),
}


@pytest.mark.parametrize("how", FAILED)
def test_row_whose_error_is_not_null_counts_as_failed(
    how: str, altered: Any, run: Any, output: Path, faulty_router: Any
) -> None:
    altered(FAILED[how])
    assert run(ordered=True).failed == 1
    assert not faulty_router.posts
    assert run(ordered=True, retry_errors=True).failed == 0
    assert (len(faulty_router.posts), outcomes(output)) == (1, EXPECTED)


def test_rows_that_exchanged_their_ids_count_as_done(altered: Any, run: Any, output: Path, faulty_router: Any) -> None:
    altered(changed(id="batch_req_7"))
    rows = lines_of(output)
    output.write_bytes(b"".join([*rows[:LINE], rows[LINE].replace(b"batch_req_7", b"batch_req_6"), *rows[LINE + 1 :]]))
    assert run(ordered=True).done_before == ROWS
    assert not faulty_router.posts
    assert outcomes(output) != EXPECTED


SEALED: dict[str, Alter] = {
    "another content": lambda row: row.replace(row[200:204], b"AAAA"),
    "another line": lambda row: row.replace(b"batch_req_6", b"batch_req_66"),
    "a failure": lambda row: row.replace(b',"error":null', b',"error":{"code":"sealed"}'),
}


@pytest.mark.parametrize("how", SEALED)
def test_sealed_row_that_was_altered_is_noticed_where_it_is_opened(
    how: str, altered: Any, run: Any, output: Path, archive: Path, faulty_router: Any
) -> None:
    """Going on has no private key to notice it with."""
    sealed = {"encrypt_to": archive / "public_key.pem"}
    altered(SEALED[how], **sealed)
    assert run(ordered=True, **sealed).left == 0
    assert len(faulty_router.posts) == (how == "another line")
    if how == "another line":
        assert [row["id"] for row in opened(output, archive)] == [f"batch_req_{line}" for line in range(1, ROWS + 1)]
        return
    told: list[Damaged] = []
    assert len(list(nomyo.batch.read(output, key_dir=archive, damaged=told.append))) == ROWS - 1
    assert [row.number for row in told] == [LINE]
