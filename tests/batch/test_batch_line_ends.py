"""Outputs whose last row has no line end, or whose first has a byte order mark, and files that are no output at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import nomyo.batch
from nomyo import BatchError
from nomyo.batch import journal
from support.batch_scene import (
    EXPECTED,
    ROWS,
    Told,
    lines_of,
    open_command,
    outcome,
    outcomes,
    request,
    rows_of,
    write_input,
)

BOM = b"\xef\xbb\xbf"
# What editors and other tools make of an output, without changing a row of it.
EDITED = {
    "no line end": lambda content: content[:-1],
    "a byte order mark": lambda content: BOM + content,
    "both": lambda content: BOM + content[:-1],
    "the line ends of Windows, but for the last": lambda content: content.replace(b"\n", b"\r\n")[:-2],
}
FOREIGN = [b"a note", b'[{"id":"batch_req_1"}]', b"{}", BOM + b"a note", b"\0note"]


@pytest.fixture
def sealed_for(archive: Path) -> dict[str, Any]:
    return {"encrypt_to": archive / "public_key.pem"}


@pytest.mark.parametrize("how", EDITED)
@pytest.mark.parametrize("kind", ["plain", "sealed"])
def test_whole_rows_count_however_their_file_begins_and_ends(
    how: str, kind: str, run: Any, faulty_router: Any, output: Path, archive: Path, sealed_for: Any
) -> None:
    options = sealed_for if kind == "sealed" else {}
    run(ordered=True, **options)
    before, faulty_router.received = output.read_bytes(), []
    output.write_bytes(EDITED[how](before))
    key_dir = archive if kind == "sealed" else None
    assert list(map(outcome, nomyo.batch.read(output, key_dir=key_dir))) == EXPECTED
    told = Told()
    assert run(ordered=True, progress=told, **options).done_before == ROWS
    assert (faulty_router.posts, told.words, output.read_bytes()) == ([], [], before)


def test_command_opens_a_row_without_its_line_end(run: Any, output: Path, archive: Path, sealed_for: Any) -> None:
    run(ordered=True, **sealed_for)
    output.write_bytes(BOM + output.read_bytes()[:-1])
    copied = open_command(output, "--key-dir", archive)
    assert (copied.returncode, copied.stderr) == (0, b"")
    assert [outcome(json.loads(line)) for line in copied.stdout.splitlines()] == EXPECTED


def test_missing_line_end_is_put_there_without_room_for_a_second_file(
    run: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    whole = output.read_bytes()
    output.write_bytes(b"".join(lines_of(output)[:7])[:-1])
    monkeypatch.setattr(journal, "replace", lambda *_: pytest.fail("the output was written anew"))
    assert run().done_before == 7
    assert outcomes(output) == EXPECTED
    assert len(output.read_bytes()) == len(whole)


@pytest.mark.parametrize("content", FOREIGN, ids=repr)
def test_output_of_one_line_that_is_no_row_stays(content: bytes, run: Any, faulty_router: Any, output: Path) -> None:
    run()
    output.write_bytes(content)
    faulty_router.received = []
    with pytest.raises(BatchError, match="holds no row of a batch"):
        run()
    assert (output.read_bytes(), faulty_router.posts) == (content, [])


@pytest.mark.parametrize("ends", [b"", b"\r"], ids=["none", "carriage returns"])
@pytest.mark.parametrize("kind", ["plain", "sealed"])
def test_output_whose_line_ends_were_taken_out_stays(
    ends: bytes, kind: str, run: Any, faulty_router: Any, output: Path, sealed_for: Any
) -> None:
    options = sealed_for if kind == "sealed" else {}
    run(ordered=True, **options)
    content = output.read_bytes().replace(b"\n", ends)
    output.write_bytes(content)
    faulty_router.received = []
    with pytest.raises(BatchError, match="holds no row of a batch"):
        run(ordered=True, **options)
    assert (output.read_bytes(), faulty_router.posts) == (content, [])


@pytest.mark.parametrize("content", FOREIGN, ids=repr)
def test_line_that_is_no_row_is_never_left_out_in_silence(content: bytes, run: Any, output: Path) -> None:
    run(ordered=True)
    output.write_bytes(output.read_bytes() + content)
    rows = nomyo.batch.read(output)
    assert [outcome(next(rows)) for _ in range(ROWS)] == EXPECTED
    with pytest.raises(BatchError, match=f"line {ROWS + 1} of the output cannot be read"):
        next(rows)
    told = Told()
    assert run(ordered=True, progress=told).done_before == ROWS
    assert told.words == ["dropped 1 damaged line of the output"]


def test_command_says_that_it_leaves_a_note_out(run: Any, output: Path) -> None:
    run()
    output.write_bytes(output.read_bytes() + b"a note")
    copied = open_command(output)
    assert (copied.returncode, f"line {ROWS + 1}: it is not a row".encode() in copied.stderr) == (3, True)


@pytest.mark.parametrize("cut", [1, 4, 20, 60])
def test_last_row_that_a_kill_tore_is_warned_of(cut: int, run: Any, output: Path) -> None:
    run(ordered=True)
    *rows, last = lines_of(output)
    output.write_bytes(b"".join(rows) + last[:cut])
    with pytest.warns(UserWarning, match=rf"line {ROWS} of the output was left out: the row is torn"):
        assert list(map(outcome, nomyo.batch.read(output))) == EXPECTED[:-1]
    output.write_bytes(last[:cut] + bytes(4096))
    assert run(ordered=True).done_before == 0  # a kill left nothing else


def test_row_that_grew_together_with_another_is_sent_again(run: Any, faulty_router: Any, output: Path) -> None:
    """So it is where the file is cut within a row while more are appended; what begins and ends well is no row."""
    run(ordered=True)
    rows = lines_of(output)
    output.write_bytes(b"".join([*rows[:3], rows[3][:50], *rows[4:]]))
    faulty_router.received = []
    assert run(ordered=True).done_before == ROWS - 2
    assert (len(faulty_router.posts), outcomes(output)) == (2, EXPECTED)


def test_answer_that_speaks_of_a_row_is_one(run: Any, source: Path, output: Path) -> None:
    words = '{"id":"batch_req_2","error":null}'
    write_input(source, [request(1, body={"model": "m", "messages": [{"role": "user", "content": words}]})])
    run()
    assert run().done_before == 1
    assert rows_of(output)[0]["response"]["body"]["choices"][0]["message"]["content"] == words
    assert list(nomyo.batch.read(output)) == rows_of(output)
