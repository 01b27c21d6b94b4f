"""A batch that is interrupted, at whatever point, goes on to the same end, and sends nothing twice that was done."""

from __future__ import annotations

import fcntl
import json
import os
import random
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import nomyo.batch
from batch_scene import NotingRouter, Told, batch, command, line_of, outcome, outcomes, request, rows_of, write_input
from nomyo import BatchError
from nomyo.batch import appended, journal, rewrite
from nomyo.serve.router.running import RunningRouter
from waiting import until

ROWS = 300
KILLS = 10
CONCURRENCY = 8
EXPECTED = [(f"row-{number}", f"prompt {number} é", None) for number in range(ROWS)]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_input(tmp_path / "in.jsonl", map(request, range(ROWS)))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def noting() -> Iterator[NotingRouter]:
    with NotingRouter() as noting:
        yield noting


@pytest.fixture
def run(router: RunningRouter, key_directory: Path, source: Path, output: Path) -> Any:
    def run(**options: Any) -> nomyo.batch.Summary:
        given = {"base_url": router.url, "allow_http": True, "key_dir": key_directory, **options}
        return nomyo.batch.run(source, output, **given)

    return run


def size_bytes(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def whole_rows(output: Path) -> list[bytes]:
    content = output.read_bytes() if output.exists() else b""
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)


def kill_somewhere(process: subprocess.Popen[bytes], output: Path, chance: random.Random) -> None:
    """Kill a batch when it has written so much more, or at some moment of its start."""
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0, 1))
    else:
        enough = size_bytes(output) + chance.randrange(1, 25_000)
        until(lambda: size_bytes(output) >= enough or process.poll() is not None)
        time.sleep(chance.uniform(0, 0.02))
    process.kill()
    process.wait(timeout=30)


@pytest.mark.parametrize("seed", range(5))
def test_killed_batch_ends_like_an_undisturbed_one(
    seed: int, noting: NotingRouter, source: Path, output: Path, key_directory: Path
) -> None:
    chance = random.Random(seed)
    options = ["--concurrency", str(CONCURRENCY), "--key-dir", str(key_directory), *(["--ordered"] if seed % 2 else [])]
    sent: Counter[str] = Counter()
    for _ in range(KILLS):
        done_before = {row.split(b'"', 9)[7] for row in whole_rows(output)}
        words = command(source, output, noting.url, *options)
        with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            kill_somewhere(process, output, chance)
        time.sleep(0.1)  # what was on its way arrives
        again = {f"row-{prompt.split()[1]}".encode() for prompt in noting.prompts} & done_before
        assert not again, "a row that was done was sent once more"
        sent.update(noting.prompts)
        noting.prompts.clear()

    done = batch(source, output, noting.url, *options)

    assert done.returncode == 0, done.stderr
    sent.update(noting.prompts)
    assert outcomes(output) == EXPECTED
    assert len(rows_of(output)) == ROWS
    # What is under way, and as many that wait for their row to be written.
    assert sent.total() - ROWS <= KILLS * 2 * CONCURRENCY
    assert sorted(path.name for path in output.parent.iterdir()) == ["in.jsonl", "out.jsonl", "out.jsonl.batch"]
    if seed % 2:
        assert [line_of(row) for row in rows_of(output)] == list(range(1, ROWS + 1))


def test_killed_batch_leaves_content_in_its_output_alone(
    noting: NotingRouter, source: Path, output: Path, key_directory: Path, tmp_path: Path
) -> None:
    """The retried rows have the output written anew, and the last row is out of order until it is."""
    chance = random.Random(7)
    write_input(source, [b"{", *map(request, range(ROWS)), b"{"])
    options = ["--key-dir", str(key_directory), "--ordered", "--retry-errors"]
    environment = os.environ | {"TMPDIR": str(tmp_path), "HOME": str(tmp_path)}
    for _ in range(KILLS):
        words = command(source, output, noting.url, *options)
        with subprocess.Popen(words, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
            kill_somewhere(process, output, chance)
            assert process.stderr
            assert b"prompt" not in process.stderr.read()
        with_content = [path for path in tmp_path.rglob("*") if path.is_file() and b"prompt 1" in path.read_bytes()]
        assert set(with_content) <= {source, output}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_batch_waits_for_what_is_under_way(
    number: signal.Signals, noting: NotingRouter, source: Path, output: Path, key_directory: Path
) -> None:
    noting.delay_s = 0.2
    options = ["--concurrency", str(CONCURRENCY), "--key-dir", str(key_directory)]
    words = command(source, output, noting.url, *options)
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        until(lambda: size_bytes(output) > 0)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=30)
    assert (process.returncode, b"left" in stderr) == (130, True), stderr
    written = len(rows_of(output))
    assert 0 < written < ROWS
    assert len(noting.prompts) == written
    noting.delay_s = 0
    assert batch(source, output, noting.url, *options).returncode == 0
    assert outcomes(output) == EXPECTED
    assert len(noting.prompts) == ROWS


def test_second_interruption_does_not_wait(
    noting: NotingRouter, source: Path, output: Path, key_directory: Path
) -> None:
    noting.delay_s = 60
    words = command(source, output, noting.url, "--key-dir", str(key_directory))
    with subprocess.Popen(words, stderr=subprocess.PIPE) as process:
        until(lambda: noting.prompts)
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=20)
    assert (process.returncode, b"Traceback" in stderr) == (130, False), stderr


def test_interruption_ends_a_wait(noting: NotingRouter, source: Path, output: Path, key_directory: Path) -> None:
    words = command(source, output, noting.url, "--key-dir", str(key_directory), "--rate", "0.001")
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as process:
        until(lambda: size_bytes(output) > 0)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 130
    assert len(rows_of(output)) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_full_disk_stops_the_batch_and_it_goes_on_when_there_is_room(
    small_disk: Path, noting: NotingRouter, source: Path, key_directory: Path
) -> None:
    output = small_disk / "out.jsonl"
    options = ["--concurrency", str(CONCURRENCY), "--key-dir", str(key_directory)]
    for _ in range(2):
        done = batch(source, output, noting.url, *options)
        assert (done.returncode, "No space left on device" in done.stderr) == (1, True), done.stderr
        assert "the same command goes on" in done.stderr
    written = len(whole_rows(output))
    assert 0 < written < ROWS
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    assert batch(source, output, noting.url, *options).returncode == 0
    assert outcomes(output) == EXPECTED
    assert len(noting.prompts) - ROWS <= 2 * 2 * CONCURRENCY


def test_file_that_may_grow_no_further_stops_the_batch(run: Any, output: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert output.stat().st_size == 20_000  # the last row is torn
    run()
    assert outcomes(output) == EXPECTED


def test_row_that_the_kernel_takes_in_pieces_is_whole(run: Any, output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = SimpleNamespace(**{**vars(os), "write": lambda descriptor, data: os.write(descriptor, data[:100])})
    monkeypatch.setattr(appended, "os", pieces)
    run()
    assert outcomes(output) == EXPECTED


TEARS = {
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
    tear: str, run: Any, noting: NotingRouter, output: Path
) -> None:
    run()
    output.write_bytes(TEARS[tear](output.read_bytes()))
    whole = {row for row in map(bytes, output.read_bytes().splitlines(keepends=True)) if is_whole(row)}
    assert run(base_url=noting.url).left == 0
    assert outcomes(output) == EXPECTED
    assert len(rows_of(output)) == ROWS
    assert len(noting.prompts) == ROWS - len(whole)


def is_whole(row: bytes) -> bool:
    begins_well = row.startswith(b'{"id":"batch_req_') and not row.startswith(b'{"id":"batch_req_99999"')
    return begins_well and row.endswith(b"}\n") and b"\0" not in row


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
def test_rows_that_a_tool_of_json_wrote_anew_are_done(how: str, run: Any, noting: NotingRouter, output: Path) -> None:
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
    assert told.words == ["1 damaged lines of the output were dropped"]
    foreign = b'{"somebody": "else"}\n'
    output.write_bytes(foreign)
    with pytest.raises(BatchError, match="holds no row of a batch"):
        run()
    assert output.read_bytes() == foreign


def test_done_batch_sends_nothing(run: Any, noting: NotingRouter, output: Path) -> None:
    run()
    before = output.read_bytes()
    summary = run(base_url=noting.url)
    assert (summary.done_before, noting.prompts, output.read_bytes()) == (ROWS, [], before)


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
    noting: NotingRouter, source: Path, output: Path, key_directory: Path
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


def test_order_cannot_be_asked_for_later(run: Any, output: Path) -> None:
    run()
    with pytest.raises(BatchError, match="without --ordered"):
        run(ordered=True)


@pytest.mark.parametrize("ordered", [False, True])
def test_errors_are_retried_where_that_is_asked_for(
    ordered: bool, run: Any, faulty_router: Any, source: Path, output: Path
) -> None:
    from faults import Answer

    faulty_router.answers.extend([Answer(403)] * 3)
    summary = run(base_url=faulty_router.url, ordered=ordered, concurrency=4)
    assert (summary.succeeded, summary.failed) == (ROWS - 3, 3)
    assert run(ordered=ordered).failed == 3
    retried = run(ordered=ordered, retry_errors=True)
    assert (retried.done_before, retried.succeeded, retried.failed) == (ROWS - 3, ROWS, 0)
    assert outcomes(output) == EXPECTED
    if ordered:
        assert [outcome(row) for row in rows_of(output)] == EXPECTED
    assert sorted(path.name for path in output.parent.iterdir()) == ["in.jsonl", "out.jsonl", "out.jsonl.batch"]


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
    leftover = rewrite.staged(output)
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

    rewrite.replace(path, content())
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
        rewrite.replace(path, content())
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]
