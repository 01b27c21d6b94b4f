"""What a batch finds of itself when it goes on: files are mended, foreign ones refused, missing ones begun anew."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nomyo import BatchError
from nomyo._files import new_files
from nomyo.batch import journal
from support.batch_scene import MANY_EXPECTED as EXPECTED
from support.batch_scene import MANY_ROWS as ROWS
from support.batch_scene import (
    PromptNotingRouter,
    Told,
    command,
    outcomes,
    request,
    rows_of,
    size_bytes,
    whole_rows,
    write_input,
)
from support.waiting import until

TEARS: dict[str, Callable[[bytes], bytes]] = {
    "in its last row": lambda content: content[:-7],
    "before the end of its last line": lambda content: content[:-1],
    "in the middle, by a block that never reached the disk": lambda content: (
        content[:40_000] + bytes(4096) + content[44_096:]
    ),
    "at its end, by zeros": lambda content: content[:-5000] + bytes(5000),
    "down to nothing": lambda content: b"",
    "by rows that are there twice": lambda content: content + content[:20_000],
    "by what is no row": lambda content: b"{}\n\n" + content + b'{"id":"batch_req_99999","error":null}\n',
}


@pytest.mark.parametrize("tear", TEARS, ids=str)
def test_damaged_output_is_mended_and_only_what_is_missing_sent(
    tear: str, run: Any, noting: PromptNotingRouter, output: Path
) -> None:
    run()
    output.write_bytes(TEARS[tear](output.read_bytes()))
    whole = {row for row in map(bytes, output.read_bytes().splitlines(keepends=True)) if is_whole(row)}
    assert run(base_url=noting.url).left == 0
    assert outcomes(output) == EXPECTED
    assert len(rows_of(output)) == ROWS
    assert len(noting.prompts) == ROWS - len(whole)


def is_whole(row: bytes) -> bool:
    """Whether it is one, with its line end or without."""
    begins_well = row.startswith(b'{"id":"batch_req_') and not row.startswith(b'{"id":"batch_req_99999"')
    return begins_well and row.removesuffix(b"\n").endswith(b'"error":null}') and b"\0" not in row


def test_torn_row_is_cut_off_without_room_for_a_second_file(run: Any, output: Path, monkeypatch: Any) -> None:
    run()
    output.write_bytes(output.read_bytes()[:-7])
    monkeypatch.setattr(journal, "replace", lambda *_: pytest.fail("the output was written anew"))
    run()
    assert outcomes(output) == EXPECTED


REWRITTEN: dict[str, dict[str, Any]] = {
    "other spaces": {},
    "text that is not ASCII": {"ensure_ascii": False, "separators": (",", ":")},
    "another order": {"sort_keys": True},
}


@pytest.mark.parametrize("how", REWRITTEN)
def test_rows_that_a_tool_of_json_wrote_anew_are_done(
    how: str, run: Any, noting: PromptNotingRouter, output: Path
) -> None:
    run()
    before, rows = output.read_bytes(), rows_of(output)
    output.write_bytes(b"".join(json.dumps(row, **REWRITTEN[how]).encode() + b"\n" for row in rows))
    assert output.read_bytes() != before
    summary = run(base_url=noting.url)
    assert (summary.done_before, noting.prompts) == (ROWS, [])
    assert rows_of(output) == rows
    assert output.read_bytes() == before or how == "another order"


def test_damaged_lines_are_told_of_and_an_output_of_nothing_else_is_refused(run: Any, output: Path) -> None:
    run()
    rows = output.read_bytes().splitlines(keepends=True)
    output.write_bytes(b"".join([rows[0], rows[1][:40] + b"\n", *rows[2:], rows[1][:50]]))
    told = Told()
    assert run(progress=told).failed == 0
    assert told.words == ["dropped 1 damaged line of the output"]
    foreign = b'{"somebody": "else"}\n'
    output.write_bytes(foreign)
    with pytest.raises(BatchError, match="holds no row of a batch"):
        run()
    assert output.read_bytes() == foreign


CHANGES = {
    "another row at the end": lambda content: content + b"{}\n",
    "one character": lambda content: content.replace(b"prompt 299", b"prompt 298"),
    "one row less": lambda content: content[content.index(b"\n") + 1 :],
}


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_changed_input_is_refused(change: str, run: Any, source: Path, output: Path) -> None:
    run()
    output.write_bytes(b"".join(whole_rows(output)[:5]))
    before = output.read_bytes()
    source.write_bytes(CHANGES[change](source.read_bytes()))
    with pytest.raises(BatchError, match="the input is not the one"):
        run()
    assert output.read_bytes() == before


def test_input_may_be_moved_and_touched(run: Any, source: Path, output: Path) -> None:
    run()
    output.write_bytes(b"".join(whole_rows(output)[:5]))
    moved = source.rename(source.with_name("moved.jsonl"))
    source.write_bytes(moved.read_bytes())
    assert run().done_before == 5


def test_input_that_changes_while_it_is_read_is_told(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path
) -> None:
    """The file must be longer than what the reader has buffered when it changes."""
    write_input(source, [request(number, padding="x" * 1000) for number in range(ROWS)])
    noting.delay_s = 0.02
    words = command(source, output, noting.url, "--concurrency", "2", "--key-dir", str(key_directory))
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        until(lambda: size_bytes(output) > 0)
        with source.open("r+b") as file:
            file.seek(-500, os.SEEK_END)
            file.write(b"y")
        noting.delay_s = 0
        _, stderr = process.communicate(timeout=60)
    assert (process.returncode, b"the input changed while it was read" in stderr) == (1, True), stderr


def test_foreign_output_is_refused(run: Any, output: Path) -> None:
    output.write_text("something precious\n")
    with pytest.raises(BatchError, match="holds something else"):
        run()
    assert output.read_text() == "something precious\n"
    assert not output.with_name("out.jsonl.batch").exists()


def test_output_that_was_taken_away_begins_anew_with_any_input(run: Any, source: Path, output: Path) -> None:
    run()
    output.unlink()
    write_input(source, [request(1)])
    assert run().done_before == 0
    assert outcomes(output) == EXPECTED[1:2]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 2}', b"\0" * 100], ids=repr)
def test_damaged_header_is_told(run: Any, output: Path, content: bytes) -> None:
    run()
    output.with_name("out.jsonl.batch").write_bytes(content)
    with pytest.raises(BatchError, match="is damaged"):
        run()


def test_two_processes_do_not_work_on_one_output(run: Any, output: Path) -> None:
    run()
    with output.with_name("out.jsonl.batch").open() as header:
        fcntl.flock(header, fcntl.LOCK_EX)
        with pytest.raises(BatchError, match="another process"):
            run()
    assert run().left == 0


def test_link_as_output_is_followed(run: Any, source: Path, output: Path) -> None:
    real = output.with_name("real.jsonl")
    output.symlink_to(real)
    write_input(source, [request(1), b"{"])
    run()
    run(retry_errors=True)
    assert output.is_symlink()
    assert len(rows_of(real)) == 2


def test_leftover_of_a_crash_is_removed(run: Any, output: Path) -> None:
    run()
    leftover = new_files.staged(output)
    leftover.write_text("answers")
    run()
    assert not leftover.exists()


@pytest.mark.parametrize("nameless", [True, False])
def test_replaced_file_has_no_second_name_while_it_is_written(
    nameless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o640)
    names = []
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE")

    def content() -> Iterator[bytes]:
        names.extend(sorted(os.listdir(tmp_path)))
        yield b"new"

    new_files.replace(path, content())
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)
    assert names == (["file"] if nameless else [".file.nomyo-new", "file"])
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("nameless", [True, False])
def test_file_stays_as_it_was_where_it_cannot_be_replaced(
    nameless: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    if not nameless:
        monkeypatch.delattr(os, "O_TMPFILE")

    def content() -> Iterator[bytes]:
        yield b"new"
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        new_files.replace(path, content())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]
