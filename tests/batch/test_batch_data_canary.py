"""A batch on a table writes content where the documentation says, and nowhere else: to its journal and its output.

Stdin and compressed Parquet files are copied into a file without a name, which is gone when the process ends, in
whatever way. What a process writes is read off its system calls, and what is left on the disk is searched.
"""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from support.batch_scene import PromptNotingRouter, command, whole_rows
from support.canary import (
    CANARY,
    OPENS,
    WITH_LOGS,
    WRITES,
    environment,
    holders,
    nameless_in,
    names_made,
    names_written_to,
)
from support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's system calls")

ROWS = 60
TABLE = pa.table({"q": [f"{CANARY} {number}" for number in range(ROWS)], "n": range(ROWS)})
# The command, which is killed within the last step: when half of the rows were joined with their answers.
DIES_AT_THE_END = """
import os, signal, sys
from nomyo.batch.data import assembly
joined = assembly.Assembly._next_row
def next_row(self):
    if self._number == 30:
        os.kill(os.getpid(), signal.SIGKILL)
    return joined(self)
assembly.Assembly._next_row = next_row
from nomyo.cli import main
main(sys.argv[1:])
"""


@dataclass(frozen=True)
class Case:
    """A batch, and where its content may be."""

    source: str
    output: str
    seal: str = ""
    more: tuple[str, ...] = ()
    """More files that the batch writes content to, while it runs."""
    left: tuple[str, ...] = field(default=())
    """The files that hold the canary when it is done, beside the input."""

    def __str__(self) -> str:
        return f"{self.source} to {self.output}{self.seal and ', sealed: '}{self.seal}"


COPY = "a copy without a name"
NEW = "a new file without a name"
# An output that is compressed holds the canary in other bytes.
CASES = [
    Case("in.parquet", "out.jsonl", more=("journal", NEW), left=("journal", "out.jsonl")),
    Case("in.jsonl.gz", "out.csv.zst", more=("journal",), left=("journal",)),
    Case("in.jsonl.zst", "out.arrow", more=("journal", NEW), left=("journal", "out.arrow")),
    Case("in.parquet.gz", "out.csv", more=("journal", COPY), left=("journal", "out.csv")),
    Case("-", "-", more=("journal", COPY, "stdout"), left=("journal", "stdout")),
    Case("in.csv", "out.arrow", "answers", more=(NEW,), left=("out.arrow",)),
    Case("in.parquet", "out.parquet", "all"),
    Case("in.jsonl.zst", "out.jsonl.gz", "all"),
    Case("-", "-", "all", more=(COPY,)),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The directory of everything that a batch is given, and finds in its environment."""
    for name in ("home", "tmp", "work", "in", "out"):
        (tmp_path / name).mkdir()
    return tmp_path


def write(path: Path) -> Path:
    """Write the table in the format of a name. In Parquet, the canary stands as it is."""
    lines = "".join(f"{json.dumps(row)}\n" for row in TABLE.to_pylist()).encode()
    if path.name.endswith(".csv"):
        pa.csv.write_csv(TABLE, path)
    elif path.name.endswith(".gz"):
        plain = write(path.with_suffix("")) if ".parquet" in path.name else None
        path.write_bytes(gzip.compress(lines if plain is None else plain.read_bytes()))
        if plain is not None:
            plain.unlink()
    elif path.name.endswith(".zst"):
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(lines)
    elif path.name.endswith(".parquet"):
        pq.write_table(TABLE, path, compression="none", use_dictionary=False)
    else:
        path.write_bytes(lines)
    return path


def words_of(case: Case, place: Path, url: str, key_directory: Path, archive: Path) -> list[str]:
    source = Path("-") if case.source == "-" else place / "in" / case.source
    output = Path("-") if case.output == "-" else place / "out" / case.output
    options = ["--prompt-column", "q", "--model", "m", "--concurrency", "4", "--key-dir", str(key_directory)]
    options += ["--journal", str(place / "out" / "journal")]
    options += ["--encrypt-to", str(archive / "public_key.pem")] if case.seal else []
    options += ["--seal-input-columns"] if case.seal == "all" else []
    write(place / "in" / ("stdin" if case.source == "-" else case.source))
    return command(source, output, url, *options)


def running(words: list[str], case: Case, place: Path) -> subprocess.Popen[bytes]:
    """Start a command, with its own streams in files."""
    given = (place / "in" / "stdin").open("rb") if case.source == "-" else None
    with (place / "out" / "stdout").open("wb") as stdout, (place / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            words, cwd=place / "work", env=environment(place), stdin=given, stdout=stdout, stderr=stderr
        )
    if given is not None:
        given.close()
    return process


def inputs(place: Path) -> list[str]:
    """Return the inputs that show the canary to whoever searches them."""
    return [path.name for path in (place / "in").iterdir() if CANARY.encode() in path.read_bytes()]


@pytest.mark.outside("strace")
@pytest.mark.slow("traces every write of a batch")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_system_calls_write_content_to_journal_and_output_alone(
    case: Case, place: Path, noting: PromptNotingRouter, archive: Path, key_directory: Path
) -> None:
    words = words_of(case, place, noting.url, key_directory, archive)
    calls, log = place.parent / f"{place.name}-calls", place / "log"
    tracer = ["strace", "-f", "-y", "-s", "1000000", "-e", f"trace={WRITES},{OPENS}", "-o", str(calls)]
    python = [sys.executable, "-X", "dev", "-c", WITH_LOGS, str(log), "batch"]
    process = running([*tracer, *python, *words[4:]], case, place)
    assert process.wait(timeout=120) == 0, (place / "stderr").read_bytes()
    traced = calls.read_text(errors="replace")
    calls.unlink()
    nameless = {nameless_in(place / "out")} if {COPY, NEW} & set(case.more) else set()
    assert names_written_to(traced) == {name for name in case.more if name not in (COPY, NEW)} | nameless
    hidden = {f".{name}.nomyo-new" for name in ("journal", case.output)}
    made = {"out", "journal", "journal.batch", case.output, *hidden, "log", "null", "tty"}
    assert names_made(traced) <= made
    assert holders(place) == sorted([*inputs(place), *case.left])
    assert "DEBUG:nomyo:" in log.read_text(), "the log was not seen"
    assert len(noting.prompts) == ROWS


@pytest.mark.slow("starts a command that is killed, for each case twice")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_killed_process_leaves_content_in_its_journal_alone(
    case: Case, place: Path, noting: PromptNotingRouter, archive: Path, key_directory: Path
) -> None:
    words = words_of(case, place, noting.url, key_directory, archive)
    noting.delay_s = 0.05
    journal = place / "out" / "journal"
    expected = sorted([*inputs(place), *([] if case.seal else ["journal"])])
    process = running(words, case, place)
    until(lambda: len(whole_rows(journal)) >= 10)
    process.kill()
    assert process.wait(timeout=30) == -signal.SIGKILL
    assert holders(place) == expected
    noting.delay_s = 0
    process = running([sys.executable, "-c", DIES_AT_THE_END, *words[3:]], case, place)
    assert process.wait(timeout=60) == -signal.SIGKILL, (place / "stderr").read_bytes()
    shown = ["stdout"] if CANARY.encode() in (place / "out" / "stdout").read_bytes() else []
    assert not shown or (case.output, case.seal) == ("-", "")
    assert holders(place) == sorted([*expected, *shown])
    kept = {"journal", "journal.batch", "stdout"}
    assert {path.name for path in (place / "out").iterdir()} == kept
    assert not list((place / "tmp").iterdir())


@pytest.mark.outside("strace")
def test_dry_run_of_stdin_copies_it_into_a_file_without_a_name(place: Path) -> None:
    stdin = write(place / "in" / "stdin")
    calls = place.parent / f"{place.name}-calls"
    tracer = ["strace", "-f", "-y", "-s", "1000000", "-e", f"trace={WRITES},{OPENS}", "-o", str(calls)]
    words = [sys.executable, "-m", "nomyo", "batch", "-", "--dry-run", "--prompt-column", "q", "--model", "m"]
    with stdin.open("rb") as given, (place / "stdout").open("wb") as stdout:
        subprocess.run([*tracer, *words], stdin=given, stdout=stdout, env=environment(place), check=True, timeout=60)
    traced = calls.read_text(errors="replace")
    calls.unlink()
    assert names_written_to(traced) == {nameless_in(place / "tmp"), "stdout"}
    assert holders(place) == ["stdin", "stdout"], "it shows three requests"
