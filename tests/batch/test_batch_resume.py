"""A batch that is interrupted, at whatever point, goes on to the same end, and sends nothing twice that was done."""

from __future__ import annotations

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

from nomyo import BatchError
from nomyo.batch import append_log
from support.batch_scene import MANY_EXPECTED as EXPECTED
from support.batch_scene import MANY_ROWS as ROWS
from support.batch_scene import (
    PromptNotingRouter,
    batch,
    command,
    kill_when_grown,
    line_of,
    outcome,
    outcomes,
    request,
    rows_of,
    size_bytes,
    whole_rows,
    write_input,
)
from support.waiting import until

KILLS = 10
BATCHES = int(os.environ.get("NOMYO_SOAK_BATCHES", "2"))
"""Of those that are killed at random moments: one without order and one in order, and more in `make soak`."""
CONCURRENCY = 8


def kill_somewhere(process: subprocess.Popen[bytes], output: Path, chance: random.Random) -> None:
    """Kill a batch when it has written so much more, or at some moment of its start."""
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0, 1))
        process.kill()
        process.wait(timeout=30)
    else:
        kill_when_grown(process, output, chance)


@pytest.mark.slow("eleven starts of the command, ten of which are killed")
@pytest.mark.parametrize("seed", range(BATCHES))
def test_killed_batch_ends_like_an_undisturbed_one(
    seed: int, noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path
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


@pytest.mark.slow("eleven starts of the command, ten of which are killed")
def test_killed_batch_leaves_content_in_its_output_alone(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path, tmp_path: Path
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
    number: signal.Signals, noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path
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


@pytest.mark.slow("starts the command and interrupts it twice")
def test_second_interruption_does_not_wait(
    noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path
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


def test_interruption_ends_a_wait(noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path) -> None:
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
    small_disk: Path, noting: PromptNotingRouter, source: Path, key_directory: Path
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
    monkeypatch.setattr(append_log, "os", pieces)
    run()
    assert outcomes(output) == EXPECTED


def test_done_batch_sends_nothing(run: Any, noting: PromptNotingRouter, output: Path) -> None:
    run()
    before = output.read_bytes()
    summary = run(base_url=noting.url)
    assert (summary.done_before, noting.prompts, output.read_bytes()) == (ROWS, [], before)


def test_order_cannot_be_asked_for_later(run: Any, output: Path) -> None:
    run()
    with pytest.raises(BatchError, match="without --ordered"):
        run(ordered=True)


@pytest.mark.parametrize("ordered", [False, True])
def test_errors_are_retried_where_that_is_asked_for(
    ordered: bool, run: Any, faulty_router: Any, source: Path, output: Path
) -> None:
    from support.faults import Answer

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
