"""No log, journal, temporary file, pipe or core of a whole batch holds a prompt or an answer: its output alone does.

Sealed, not even that does. What a process writes, wherever to, is read off its system calls; what is left on the disk
is searched; and the same searches find the canary where it may be, or must be without our protection.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from support.batch_scene import PromptNotingRouter, command, request, write_input
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
    stream,
)
from support.process import LIMITED, run_python
from support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's system calls and core dumps")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The directory of everything that a batch is given, and finds in its environment."""
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    rows = [request(number, custom_id=f"{CANARY} {number}") for number in range(60)]
    for row in rows:
        row["body"]["messages"] = [{"role": "user", "content": CANARY}]
    rows[3]["body"]["n"] = 100_000  # the router refuses it
    rows[4]["url"] = CANARY
    write_input(tmp_path / "in.jsonl", [b'{"custom_id": "' + CANARY.encode(), *rows])
    return tmp_path


@pytest.mark.outside("strace")
@pytest.mark.parametrize(("seal", "stderr"), [(False, "pipe"), (False, "terminal"), (True, "pipe")])
def test_system_calls_of_a_whole_batch_write_content_to_its_output_alone(
    seal: bool, stderr: str, place: Path, archive: Path, key_directory: Path
) -> None:
    source, output, log = place / "in.jsonl", place / "out.jsonl", place / "log"
    calls = place.parent / f"{place.name}-calls"
    options = ["--key-dir", str(key_directory)]
    options += ["--encrypt-to", str(archive / "public_key.pem")] if seal else []
    tracer = ["strace", "-f", "-y", "-s", "1000000", "-e", f"trace={WRITES},{OPENS}", "-o", str(calls)]
    python = [sys.executable, "-X", "dev", "-c", WITH_LOGS, str(log), "batch"]
    with PromptNotingRouter() as noting, stream(stderr) as (writer, came):
        words = command(source, output, noting.url, "--ordered", "--retry-errors", *options)
        for _ in range(2):  # the second run has rows to retry, and so writes the output anew
            done = subprocess.run(
                [*tracer, *python, *words[4:]],
                cwd=place / "work",
                env=environment(place),
                stdout=writer,
                stderr=writer,
                timeout=120,
                check=False,
            )
            assert done.returncode == 3
    shown = b"".join(came).decode()
    traced = calls.read_text(errors="replace")
    calls.unlink()
    expected = [] if seal else [output.name]
    # The second run writes the output anew, in a file without a name at first.
    assert names_written_to(traced) == (set() if seal else {output.name, nameless_in(place)})
    assert names_made(traced) <= {
        place.name,
        "out.jsonl",
        "out.jsonl.batch",
        ".out.jsonl.nomyo-new",
        "log",
        "null",
        "tty",
    }
    assert CANARY not in shown
    assert "61 rows" in shown or "61/61" in shown, "the progress was not seen"
    assert holders(place) == sorted([source.name, *expected])
    assert "DEBUG:nomyo:" in log.read_text(), "the log was not seen"
    assert len(noting.prompts) == 59 + 1


# What a batch is in the midst of when it crashes: rows are under way, and others were answered.
@pytest.mark.parametrize(("seal", "number"), [(False, signal.SIGSEGV), (True, signal.SIGABRT)])
def test_command_that_crashes_leaves_no_core(
    seal: bool, number: signal.Signals, place: Path, archive: Path, key_directory: Path
) -> None:
    options = ["--key-dir", str(key_directory)]
    options += ["--encrypt-to", str(archive / "public_key.pem")] if seal else []
    with PromptNotingRouter() as noting:
        words = command(place / "in.jsonl", place / "out.jsonl", noting.url, "--concurrency", "4", *options)
        assert not crashed(words, number, place, noting)
    assert holders(place) == (["in.jsonl"] if seal else ["in.jsonl", "out.jsonl"])
    assert list((place / "work").iterdir()) == []


def test_process_that_opens_is_hardened() -> None:
    program = (
        "from nomyo import _core\nfrom nomyo.cli import main\n"
        "try:\n    main(['batch', 'open', 'nothing'])\nexcept SystemExit:\n    pass\n"
        "print('dumpable', _core.dumpable())"
    )
    assert "dumpable 0" in run_python(program).stdout


def test_program_that_is_not_hardened_leaves_one_that_holds_the_prompts(place: Path, key_directory: Path) -> None:
    """The control: `nomyo.batch.run` leaves it to its program to call `harden_process`."""
    with PromptNotingRouter() as noting:
        program = (
            "import sys, nomyo.batch\n"
            "nomyo.batch.run(*sys.argv[1:3], base_url=sys.argv[3], allow_http=True, key_dir=sys.argv[4], concurrency=4)"
        )
        files = [str(place / "in.jsonl"), str(place / "out.jsonl")]
        words = [sys.executable, "-c", program, *files, noting.url, str(key_directory)]
        assert crashed(words, signal.SIGABRT, place, noting)
    if not Path("/proc/sys/kernel/core_pattern").read_text().startswith(("|", "/")):
        (core,) = (place / "work").iterdir()
        assert holders(place) == sorted([core.name, "in.jsonl", "out.jsonl"])
        core.unlink()  # some 100 MB


def crashed(words: list[str], number: signal.Signals, place: Path, noting: PromptNotingRouter) -> bool:
    """Run a batch that may dump core until a signal ends it in its midst; whether the kernel dumped one."""
    with_cores = [*LIMITED, "--core=unlimited:unlimited"]
    process = subprocess.Popen(
        [*with_cores, *words], cwd=place / "work", env=environment(place), stderr=subprocess.DEVNULL
    )
    until(lambda: len(noting.prompts) > 20)
    noting.delay_s = 1.5
    until(lambda: noting.under_way == 4)
    os.kill(process.pid, number)
    _, status = os.waitpid(process.pid, 0)
    process.returncode = -number
    assert os.WTERMSIG(status) == number
    return os.WCOREDUMP(status)
