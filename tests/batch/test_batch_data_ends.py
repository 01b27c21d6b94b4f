"""Batches on tables that are interrupted, or whose stdout ends: no answer is lost, and the same command goes on."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nomyo.batch import DataOptions
from nomyo.batch.data import files
from nomyo.batch.data.files import StoppedError
from nomyo.batch.data.source import DataSource
from support.batch_scene import PromptNotingRouter, command, size_bytes, whole_rows
from support.process import unmeasured
from support.waiting import until

ROWS = 40
PROMPTS = [f"prompt {number} é" for number in range(ROWS)]
# The command, which gets a signal, so many times, when half of the rows were joined with their answers.
SIGNALLED_AT_THE_END = """
import os, signal, sys, time
from nomyo.batch.data import assembly
from nomyo.batch.data.assembly import Assembly
number, times = int(sys.argv.pop(1)), int(sys.argv.pop(1))
assembly.MOST_ROWS = 1
joined = Assembly._next_row
def next_row(self):
    if self._number == 20:
        for _ in range(times):
            os.kill(os.getpid(), number)
            time.sleep(0.2)
    return joined(self)
Assembly._next_row = next_row
from nomyo.cli import main
sys.exit(main(sys.argv[1:]))
"""

# The command, whose deadline comes when it looks at stdin for the first time.
LATE_AT_STDIN = """
import sys, time
from nomyo.batch.data import files
now, ready = time.time, files._is_ready
def is_ready(stdin):
    time.time = lambda: now() + 1e10
    return ready(stdin)
files._is_ready = is_ready
from nomyo.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pq.write_table(pa.table({"q": PROMPTS}), tmp_path / "in.parquet", row_group_size=16)
    return tmp_path / "in.parquet"


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal"


@pytest.fixture
def words(journal: Path, key_directory: Path) -> list[str]:
    """The options of all commands here."""
    asked = ["--prompt-column", "q", "--model", "m", "--concurrency", "4", "--key-dir", str(key_directory)]
    return [*asked, "--journal", str(journal)]


def finished(words: list[str], **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(words, capture_output=True, timeout=60, check=False, env=unmeasured(), **more)


@contextmanager
def started(words: list[str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(words, env=unmeasured(), **{"stderr": subprocess.PIPE, **streams})
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def answers(lines: bytes) -> list[str]:
    return [json.loads(line)["response"] for line in lines.splitlines()]


def test_reader_of_stdout_that_goes_away_costs_no_answer(
    noting: PromptNotingRouter, source: Path, words: list[str], journal: Path
) -> None:
    to_stdout = command(source, Path("-"), noting.url, *words, "--quiet")
    reader, writer = os.pipe()
    with started(to_stdout, stdout=writer) as process:
        os.close(writer)
        os.close(reader)
        assert process.wait(timeout=60) == 1
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert "Traceback" not in said
    assert len(whole_rows(journal)) == ROWS
    again = finished(to_stdout)
    assert (again.returncode, answers(again.stdout)) == (0, PROMPTS)
    assert len(noting.prompts) == ROWS


def test_stdout_that_is_full_costs_no_answer(
    noting: PromptNotingRouter, source: Path, words: list[str], journal: Path
) -> None:
    to_stdout = command(source, Path("-"), noting.url, *words, "--quiet")
    with Path("/dev/full").open("wb") as full, started(to_stdout, stdout=full) as process:
        said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 1
    assert "stdout: No space left on device" in said
    assert "the same command goes on" in said
    assert "Traceback" not in said
    assert len(whole_rows(journal)) == ROWS
    assert answers(finished(to_stdout).stdout) == PROMPTS
    assert len(noting.prompts) == ROWS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_begun_rows_come_to_their_end(
    number: signal.Signals, noting: PromptNotingRouter, source: Path, words: list[str], journal: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.parquet"
    noting.delay_s = 1.0
    with started(command(source, output, noting.url, *words)) as process:
        until(lambda: noting.under_way == 4)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130, said
    assert "stopping when what is under way is answered" in said
    assert len(noting.prompts) == len(whole_rows(journal)) == 4
    assert not output.exists()
    noting.delay_s = 0
    assert finished(command(source, output, noting.url, *words)).returncode == 0
    assert sorted(noting.prompts) == sorted(PROMPTS)
    assert pq.read_table(output)["response"].to_pylist() == PROMPTS


@pytest.mark.parametrize("name", ["out.parquet", "out.csv.gz", "-"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_within_the_last_step(
    number: signal.Signals, name: str, noting: PromptNotingRouter, source: Path, words: list[str], tmp_path: Path
) -> None:
    """The first one waits for the step, as for rows under way; the second ends it, and nothing of it stays."""
    output = Path(name) if name == "-" else tmp_path / name
    whole = command(source, output, noting.url, *words)
    (tmp_path / "home").mkdir()
    for times, code in ((2, 130), (1, 0)):
        before = sorted(tmp_path.iterdir())
        signalled = [sys.executable, "-c", SIGNALLED_AT_THE_END, str(int(number)), str(times), *whole[3:]]
        done = finished(signalled)
        assert done.returncode == code, done.stderr
        assert b"Traceback" not in done.stderr
        if times == 2:
            made = {path.name for path in tmp_path.iterdir()} - {path.name for path in before}
            assert made == {"journal", "journal.batch"}
    assert len(noting.prompts) == ROWS
    assert name == "-" or output.exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_while_stdin_is_read_ends_the_batch(
    number: signal.Signals, noting: PromptNotingRouter, words: list[str], journal: Path, tmp_path: Path
) -> None:
    """Nobody knows whether what came is all, so none of it is sent."""
    with started(
        command(Path("-"), Path("-"), noting.url, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"q": "a"}\n')
        process.stdin.flush()
        copies = Path(f"/proc/{process.pid}/fd")
        until(lambda: any("(deleted)" in os.readlink(each) for each in copies.iterdir() if each.is_symlink()))
        process.send_signal(number)
        assert process.wait(timeout=10) == 130
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert "Traceback" not in said
    assert noting.prompts == []
    assert size_bytes(journal) == 0
    assert not [path for path in tmp_path.iterdir() if path.name not in ("journal", "journal.batch")]


def test_deadline_while_stdin_is_read_ends_the_batch(
    noting: PromptNotingRouter, words: list[str], journal: Path
) -> None:
    """The deadline is moved to the past when the wait has begun, so that no slow start comes after it."""
    late = [sys.executable, "-c", LATE_AT_STDIN]
    whole = command(Path("-"), Path("-"), noting.url, *words, "--deadline", "2099-01-01T00:00")
    with started([*late, *whole[3:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.wait(timeout=20) == 4
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert "the deadline came while stdin was read: nothing was sent" in said
    assert "Traceback" not in said
    assert noting.prompts == []
    assert size_bytes(journal) == 0


@pytest.mark.parametrize("name", ["in.jsonl", "in.csv", "in.jsonl.gz", "in.arrow", "in.parquet"])
@pytest.mark.parametrize("looks", [1, 4])
def test_input_is_not_read_to_its_end_for_a_cancelled_run(
    name: str, looks: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_CHUNK_BYTES", 16)
    write(tmp_path / name)
    asked: list[None] = []
    source = DataSource(tmp_path / name, tmp_path / "out.jsonl", DataOptions(prompt_column="q", model="m"))
    source.check_input()

    def cancelled() -> bool:
        asked.append(None)
        return len(asked) >= looks

    with pytest.raises(StoppedError):
        source.open(cancelled)
    assert len(asked) == looks


def write(path: Path) -> None:
    """Write a file in the format that its name says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"q": PROMPTS}), path)
    elif path.suffix == ".arrow":
        with pa.ipc.new_file(path, pa.schema({"q": pa.string()})) as file:
            for prompt in PROMPTS:
                file.write_batch(pa.record_batch({"q": [prompt]}))
    elif path.suffix == ".csv":
        path.write_text("\n".join(["q", *PROMPTS]))
    else:
        lines = "".join(json.dumps({"q": prompt}) + "\n" for prompt in PROMPTS).encode()
        path.write_bytes(gzip.compress(lines, 0) if path.suffix == ".gz" else lines)


def test_second_process_on_a_journal_is_refused(
    noting: PromptNotingRouter, source: Path, words: list[str], tmp_path: Path
) -> None:
    output = tmp_path / "out.parquet"
    noting.delay_s = 1.0
    with started(command(source, output, noting.url, *words)) as process:
        until(lambda: noting.under_way == 4)
        process.send_signal(signal.SIGSTOP)  # until the second process is done
        noting.delay_s = 0
        second = finished(command(source, output, noting.url, *words))
        assert (second.returncode, b"another process is working on journal" in second.stderr) == (1, True)
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=60) == 0
    assert sorted(noting.prompts) == sorted(PROMPTS)


def test_second_process_with_a_journal_of_its_own_replaces_no_output(
    noting: PromptNotingRouter, source: Path, words: list[str], journal: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out.parquet"
    noting.delay_s = 1.0
    with started(command(source, output, noting.url, *words)) as process:
        until(lambda: noting.under_way == 4)
        process.send_signal(signal.SIGSTOP)  # until the second process is done
        noting.delay_s = 0
        other = [*words[:-1], str(tmp_path / "other")]
        assert finished(command(source, output, noting.url, *other)).returncode == 0
        process.send_signal(signal.SIGCONT)
        assert process.wait(timeout=60) == 1
    assert pq.read_table(output)["response"].to_pylist() == PROMPTS
    assert len(whole_rows(journal)) == len(whole_rows(tmp_path / "other")) == ROWS
