"""A batch on a table that is killed wherever it may be, or whose disk is full, ends like an undisturbed one."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nomyo import BatchError
from nomyo.batch import DataOptions
from nomyo.batch.data import assembly
from nomyo.batch.data import source as source_module
from support.batch_scene import PromptNotingRouter, command, kill_when_grown, runner, whole_rows
from support.process import unmeasured
from support.waiting import until

KILLS = int(os.environ.get("NOMYO_SOAK_KILLS", "6"))
"""Each time at a random moment; 30 in `make soak`."""
ROWS = 50 * KILLS
"""So many that all kills come before the last row is done: some 30 rows are done in between, and those under way."""
CONCURRENCY = 8
TABLE = pa.table({"id": range(ROWS), "question": [f"prompt {number} é" for number in range(ROWS)]})
# The command, which is killed within the last step: after so many rows were joined with their answers.
DIES_AT_THE_END = """
import os, signal, sys
from nomyo.batch.data import assembly
die, joined = int(sys.argv.pop(1)), assembly.Assembly._next_row
def next_row(self):
    if self._number == die:
        os.kill(os.getpid(), signal.SIGKILL)
    return joined(self)
assembly.Assembly._next_row = next_row
from nomyo.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pq.write_table(TABLE, tmp_path / "in.parquet", row_group_size=64)
    return tmp_path / "in.parquet"


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.parquet"


def options(key_directory: Path, *more: str) -> list[str]:
    asked = ["--prompt-column", "question", "--model", "m", "--concurrency", str(CONCURRENCY)]
    return [*asked, "--key-dir", str(key_directory), *more]


def opened(output: Path, archive: Path) -> Path:
    plain = output.with_name("plain.parquet")
    words = [sys.executable, "-m", "nomyo", "batch", "open", str(output), "-o", str(plain), "--key-dir", str(archive)]
    subprocess.run(words, check=True, capture_output=True, timeout=60, env=unmeasured())
    return plain


@pytest.mark.slow("starts the command eleven times, nine of which are killed")
@pytest.mark.parametrize("seal", [None, "answers", "all"])
def test_killed_batch_ends_like_an_undisturbed_one(
    seal: str | None, noting: PromptNotingRouter, source: Path, output: Path, key_directory: Path, archive: Path
) -> None:
    chance = random.Random(str(seal))
    sealing = [] if seal is None else ["--encrypt-to", str(archive / "public_key.pem")]
    words = options(key_directory, *sealing, *(["--seal-input-columns"] if seal == "all" else []))
    journal = output.with_name("out.parquet.journal")
    sent: Counter[str] = Counter()
    for _ in range(KILLS):
        done_before = len(whole_rows(journal)) if journal.exists() else 0
        with subprocess.Popen(
            command(source, output, noting.url, *words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as process:
            kill_when_grown(process, journal, chance)
        assert not output.exists() or len(whole_rows(journal)) == ROWS, "the output is there before all is done"
        assert len(whole_rows(journal)) >= done_before
    for die in ("0", str(ROWS // 2), str(ROWS - 1)):
        ended = command(source, output, noting.url, *words)
        killed = subprocess.run(
            [sys.executable, "-c", DIES_AT_THE_END, die, *ended[3:]],
            check=False, capture_output=True, timeout=60, env=unmeasured(),
        )  # fmt: skip
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not output.exists()

    done = subprocess.run(command(source, output, noting.url, *words), check=False, capture_output=True, timeout=60)

    assert done.returncode == 0, done.stderr
    sent.update(noting.prompts)
    assert sent.total() - ROWS <= KILLS * 2 * CONCURRENCY
    names = ["in.parquet", "out.parquet", "out.parquet.journal", "out.parquet.journal.batch"]
    assert sorted(path.name for path in output.parent.iterdir()) == names
    rows = pq.read_table(output if seal is None else opened(output, archive))
    assert rows.select(TABLE.column_names) == TABLE
    assert rows["response"].to_pylist() == TABLE["question"].to_pylist()
    assert set(rows["error"].to_pylist()) == {None}
    undisturbed = output.with_name("undisturbed.parquet")
    subprocess.run(command(source, undisturbed, noting.url, *words), check=True, capture_output=True, timeout=60)
    if seal is None:
        assert undisturbed.read_bytes() == output.read_bytes()
    else:
        shutil.copy(undisturbed, output)
        output.with_name("plain.parquet").unlink()
        assert pq.read_table(opened(output, archive)) == rows


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=320k", "tmpfs", str(place)], check=True)
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.arrow"])
def test_disk_that_is_full_at_the_last_step_costs_nothing(
    name: str, small_disk: Path, noting: PromptNotingRouter, source: Path, key_directory: Path, tmp_path: Path
) -> None:
    output = small_disk / name
    words = command(source, output, noting.url, *options(key_directory, "--journal", str(tmp_path / "journal")))
    filler = small_disk / "filler"
    filler.write_bytes(bytes(316 * 1024))
    for _ in range(2):
        done = subprocess.run(words, check=False, capture_output=True, timeout=60)
        assert (done.returncode, b"No space left on device" in done.stderr) == (1, True), done.stderr
        assert b"the same command goes on" in done.stderr
        assert [path.name for path in small_disk.iterdir()] == ["filler"]
    filler.unlink()
    assert subprocess.run(words, check=False, capture_output=True, timeout=60).returncode == 0
    assert len(noting.prompts) == ROWS
    assert output.exists()


def test_input_that_changes_while_rows_are_sent_stops_the_batch(
    faulty_router: Any, key_directory: Path, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runner(source, output, faulty_router.url, key_directory, concurrency=2)
    data = DataOptions(prompt_column="question", model="m")
    whole = source_module.DataSource.row

    def touched(self: Any, number: int, *rest: Any) -> Any:
        if number == 20:
            os.utime(source)
        return whole(self, number, *rest)

    monkeypatch.setattr(source_module.DataSource, "row", touched)
    with pytest.raises(BatchError, match=r"in\.parquet changed while it was read"):
        run(data=data)
    assert not output.exists()
    assert len(whole_rows(output.with_name("out.parquet.journal"))) == ROWS, "what was sent is kept"


def test_cancelled_last_step_leaves_no_output(
    router: Any, key_directory: Path, source: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupted run waits for the thread that writes, which stops soon."""
    import asyncio

    import nomyo.batch

    tasks: list[Any] = []
    writes = assembly.Assembly.write

    def interrupted(self: Any, *rest: Any) -> None:
        loop, task = tasks[0]
        loop.call_soon_threadsafe(task.cancel)
        until(self._cancelled)
        writes(self, *rest)

    monkeypatch.setattr(assembly.Assembly, "write", interrupted)

    async def main() -> None:
        tasks.append((asyncio.get_running_loop(), asyncio.current_task()))
        own = {"base_url": router.url, "allow_http": True, "key_dir": key_directory}
        await nomyo.batch.run_async(source, output, data=DataOptions(prompt_column="question", model="m"), **own)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert not output.exists()
    monkeypatch.undo()
