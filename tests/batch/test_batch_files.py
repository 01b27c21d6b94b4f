"""Files that are not what a batch takes them for: nothing of anybody's is lost."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import nomyo.batch
from nomyo import BatchError
from nomyo._files.new_files import staged
from nomyo.batch.header import header_of
from support.batch_scene import EXPECTED, ROWS, Told, batch, in_background, outcomes, request, write_input
from support.waiting import until


def test_somebody_elses_file_in_the_place_of_the_books_stays(run: Any, output: Path) -> None:
    header_of(output).write_bytes(b"precious\n")
    with pytest.raises(BatchError, match=r"out\.jsonl\.batch holds something else already"):
        run()
    assert header_of(output).read_bytes() == b"precious\n"
    assert not output.exists()


@pytest.mark.parametrize("left", [b"", b"\0" * 200, b'{"format": 1, "inp'])
def test_books_that_a_power_loss_left_before_the_first_row_are_written_anew(
    left: bytes, run: Any, output: Path
) -> None:
    header_of(output).write_bytes(left)
    assert run().succeeded == ROWS


@pytest.mark.parametrize("name_of", [header_of, staged])
def test_input_under_a_name_that_the_batch_needs_is_refused_and_stays(
    name_of: Any, faulty_router: Any, tmp_path: Path
) -> None:
    output = tmp_path / "requests"
    source = write_input(name_of(output), map(request, range(3)))
    content = source.read_bytes()
    with pytest.raises(ValueError, match="must not be the input"):
        nomyo.batch.run(source, output, base_url=faulty_router.url, allow_http=True)
    assert source.read_bytes() == content


def test_new_output_removes_no_file_beside_it(run: Any, output: Path) -> None:
    for beside in (staged(output), output.with_name("out.jsonl.new")):
        beside.write_bytes(b"precious")
    run()
    assert staged(output).read_bytes() == output.with_name("out.jsonl.new").read_bytes() == b"precious"


@pytest.mark.parametrize("how", ["removed", "replaced"])
def test_output_that_goes_away_midway_ends_the_batch_and_is_told(how: str, run: Any, output: Path) -> None:
    with in_background(lambda: run(rate=20)) as came:
        until(lambda: output.exists() and output.stat().st_size > 0)
        if how == "removed":
            output.unlink()
        else:
            output.with_name("other").write_bytes(b"")
            output.with_name("other").rename(output)
        until(lambda: came)
    assert isinstance(came[0], BatchError)
    assert "out.jsonl was removed, or replaced" in str(came[0])


CHANGES: dict[str, Any] = {
    "cut to nothing": lambda output: os.truncate(output, 0),
    "cut within a row": lambda output: os.truncate(output, output.stat().st_size - 100),
    "written to": lambda output: output.write_bytes(output.read_bytes() + b"{}\n"),
}


@pytest.mark.parametrize("how", CHANGES)
@pytest.mark.parametrize("row", [5, ROWS])
def test_output_that_somebody_changes_midway_ends_the_batch_in_words_and_loses_nothing_more(
    row: int, how: str, run: Any, faulty_router: Any, output: Path
) -> None:
    class Changes(Told):
        rows = 0

        def row(self, **_: Any) -> None:
            self.rows += 1
            if self.rows == row:
                CHANGES[how](output)

    with pytest.raises(BatchError, match=r"out\.jsonl was changed by somebody else .* bytes instead of [0-9,]+; the"):
        run(progress=Changes(), concurrency=1)
    whole = [line for line in output.read_bytes().splitlines(keepends=True) if line.endswith(b"null}\n")]
    assert len(whole) == {"cut to nothing": 0, "cut within a row": row - 1, "written to": row}[how]
    assert run(api_key="the-second-run").done_before == len(whole)
    # By its key: a request that the first run gave up may reach the router after it.
    second = [post for post in faulty_router.posts if post.headers.get("authorization") == "Bearer the-second-run"]
    assert len(second) == ROWS - len(whole)
    assert outcomes(output) == EXPECTED


def test_header_that_cannot_be_put_back_is_told_of_and_leaves_no_piece(run: Any, output: Path) -> None:
    """The kernel takes a piece of it, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    class Removes(Told):
        def end(self) -> None:
            header_of(output).unlink(missing_ok=True)
            resource.setrlimit(resource.RLIMIT_FSIZE, (50, before[1]))

    try:
        with pytest.warns(UserWarning, match=r"out\.jsonl\.batch was removed, and cannot be written again \(File too"):
            run(progress=Removes())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not header_of(output).exists()
    assert outcomes(output) == EXPECTED


def test_header_that_goes_away_midway_is_put_back(run: Any, faulty_router: Any, output: Path) -> None:
    class Removes(Told):
        def row(self, **_: Any) -> None:
            header_of(output).unlink(missing_ok=True)

    assert run(progress=Removes()).failed == 0
    faulty_router.received = []
    assert (run().done_before, faulty_router.posts) == (ROWS, [])


def test_output_that_goes_away_after_its_last_row_is_told(run: Any, output: Path) -> None:
    class Removes(Told):
        rows = 0

        def row(self, **_: Any) -> None:
            self.rows += 1
            if self.rows == ROWS:
                time.sleep(0.3)  # all rows were synced
                output.unlink()

    with pytest.raises(BatchError, match=r"out\.jsonl was removed, or replaced"):
        run(progress=Removes())


def test_cancelled_opening_leaves_nothing_locked(run: Any, source: Path, output: Path, faulty_router: Any) -> None:
    write_input(source, map(request, range(200_000)))
    options = {"base_url": faulty_router.url, "allow_http": True, "key_dir": None, "key_size": 2048}

    async def cancelled() -> None:
        task = asyncio.create_task(nomyo.batch.run_async(source, output, **options))
        while not faulty_router.key_fetches:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert not faulty_router.posts
    write_input(source, map(request, range(ROWS)))
    assert run().succeeded == ROWS


def test_pipe_as_input_is_refused_and_not_waited_for(run: Any, source: Path) -> None:
    source.unlink()
    os.mkfifo(source)
    with pytest.raises(ValueError, match="not a pipe"):
        run()


def test_loop_of_links_as_output_is_told(source: Path, output: Path, faulty_router: Any) -> None:
    output.symlink_to(output)
    done = batch(source, output, faulty_router.url)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_output_without_a_directory_is_told_by_the_directory(run: Any, output: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised:
        nomyo.batch.run(tmp_path / "in.jsonl", tmp_path / "no" / "out", base_url="http://127.0.0.1:1", allow_http=True)
    assert raised.value.filename == str(tmp_path / "no")


def test_unknown_option_is_told_before_anything_is_made(run: Any, output: Path) -> None:
    with pytest.raises(TypeError, match="a batch has no option 'concurency'"):
        run(concurency=3)
    with pytest.raises(TypeError, match="progress must have"):
        run(progress=print)
    assert not output.exists()


def test_blocking_form_names_the_other_one_in_an_event_loop(run: Any) -> None:
    async def main() -> None:
        run()

    with pytest.raises(TypeError, match="await nomyo\\.batch\\.run_async"):
        asyncio.run(main())


def test_blocking_form_has_types_and_words() -> None:
    program = "import nomyo.batch as b; help(b.run)"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "concurrency: int = 32" in told.stdout.replace("'", "")
    assert "Send every row of a file" in told.stdout


def test_input_that_changes_before_the_batch_is_stopped_is_told(run: Any, source: Path) -> None:
    """It is not read to its end then, so its digest says nothing."""
    stop = nomyo.batch.Stop()

    class ChangesAndStops(Told):
        rows = 0

        def row(self, **_: Any) -> None:
            self.rows += 1
            if self.rows == 5:
                write_input(source, map(request, range(1, ROWS + 1)))
                stop()

    with pytest.raises(BatchError, match="the input changed"):
        run(concurrency=1, progress=ChangesAndStops(), stop=stop)


def test_dry_run_finds_what_cannot_be_sealed(source: Path, output: Path) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "x"}], "seed": float("nan")}
    write_input(source, [request(1), request(2, body=body)])
    done = batch(source, output, "http://127.0.0.1:9", "--dry-run")
    assert done.returncode == 3
    assert "line 2: seed" in done.stdout, done.stdout


def test_what_was_done_before_a_failure_of_the_disk_is_said_to_count(
    run: Any, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device", str(output))

    monkeypatch.setattr("nomyo.batch.append_log.write_all", full)
    with pytest.raises(OSError, match="No space left") as raised:
        run()
    assert raised.value.__notes__ == ["what is in the output counts: the same command goes on"]
    assert outcomes(output) == []
