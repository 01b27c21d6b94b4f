"""Outputs that take nothing: stderr ends nothing, stdout is told of in words."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nomyo import _core, cli
from nomyo.serve.router.running import RunningRouter
from support import proxied
from support.batch_scene import EXPECTED, ROWS, outcomes, request, write_input
from support.outputs import OUTPUTS
from support.outputs import nomyo as run
from support.process import unmeasured

ASCII = {"PYTHONIOENCODING": "ascii"}
C_LOCALE = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
NO_SPACE = "stdout: No space left on device"


@pytest.fixture
def to_router(router: RunningRouter, key_directory: Path) -> list[str]:
    return ["--base-url", router.url, "--allow-http", "--key-dir", str(key_directory)]


@pytest.mark.parametrize("stderr", [*OUTPUTS, "closed"])
def test_stderr_that_takes_nothing_does_not_end_a_batch(stderr: str, to_router: list[str], tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", map(request, range(ROWS)))
    done = run(["batch", str(source), "-o", str(tmp_path / "out"), *to_router], stderr=stderr)
    assert (done.returncode, done.stdout) == (0, b"")
    assert outcomes(tmp_path / "out") == EXPECTED


@pytest.mark.parametrize(
    ("stderr", "prompt"),
    [*((name, ["hello é"]) for name in [*OUTPUTS, "closed"]), ("full", ["--secret-file", "prompt"])],
)
def test_stderr_that_takes_nothing_does_not_end_a_chat(
    stderr: str, prompt: list[str], to_router: list[str], tmp_path: Path
) -> None:
    (tmp_path / "prompt").write_text("hello é")
    done = run(["chat", "--model", "echo", *to_router, *prompt], stderr=stderr)
    assert (done.returncode, done.stdout.decode()) == (0, "hello é")


@pytest.mark.parametrize("stderr", ["full", "stalled", "closed"])
def test_failure_has_its_exit_code_where_nobody_hears_of_it(stderr: str, tmp_path: Path) -> None:
    assert run(["keys", "show"], stderr=stderr).returncode == 1
    assert run(["nothing"], stderr=stderr).returncode == 2
    assert run(["doctor", "--nothing"], stderr=stderr).returncode == 2
    assert run(["keys", "--nothing"], stderr=stderr).returncode == 2


def test_report_for_a_closed_stderr_does_not_get_among_the_rows(to_router: list[str], tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", [request(1)])
    run(["batch", str(source), "-o", "out", *to_router])
    opened = run(["batch", "open", "out", "--json"], stderr="closed")
    assert (opened.returncode, opened.stdout) == (0, (tmp_path / "out").read_bytes())


def test_closed_stderr_is_no_number_for_the_next_file(tmp_path: Path) -> None:
    """What is written to descriptor 2, by native code say, would get into it."""
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, os\natexit.register(lambda: print(os.readlink('/proc/self/fd/2')))\n"
    )
    done = run(["--version"], stderr="closed", env=unmeasured() | {"PYTHONPATH": str(tmp_path)})
    assert done.stdout.splitlines()[-1] == b"/dev/null"


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (["--help"], "nomyo"),
        (["--version"], "nomyo"),
        (["--show-completion", "bash"], "nomyo"),
        (["doctor"], "nomyo doctor"),
        (["doctor", "--help"], "nomyo doctor"),
        (["batch", "--help"], "nomyo batch"),
        (["keys", "--help"], "nomyo keys"),
        (["keys", "show"], "nomyo keys"),
        (["keys", "check"], "nomyo keys"),
        (["batch", "in.jsonl", "--dry-run"], "nomyo batch"),
        (["demo"], "nomyo demo"),
        (["router", "--port", "0"], "nomyo router"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_full_stdout_is_told_in_words(
    command: list[str], name: str, client_key: _core.PrivateKey, tmp_path: Path
) -> None:
    _core.write_key_directory(tmp_path / "client_keys", client_key)
    write_input(tmp_path / "in.jsonl", [request(1)])
    done = run(command, stdout="full")
    assert (done.returncode, done.stderr.decode()) == (1, f"{name}: {NO_SPACE}\n")


@pytest.mark.parametrize("command", [["doctor", "--json"], ["keys", "show", "--json"], ["keys", "check", "--json"]])
def test_full_stdout_is_told_as_json_where_that_is_asked_for(
    command: list[str], client_key: _core.PrivateKey, tmp_path: Path
) -> None:
    _core.write_key_directory(tmp_path / "client_keys", client_key)
    done = run(command, stdout="full")
    assert done.returncode == 1
    assert json.loads(done.stderr) == {"error": {"type": "OSError", "message": NO_SPACE}}


@pytest.mark.parametrize("prompt", [["hello"], ["hello", "--json"], ["--secret-file", "prompt"]])
def test_answer_that_a_full_stdout_does_not_take_fails(prompt: list[str], to_router: list[str], tmp_path: Path) -> None:
    (tmp_path / "prompt").write_text("hello")
    done = run(["chat", "--model", "echo", *to_router, *prompt], stdout="full")
    assert done.returncode == 1
    assert NO_SPACE in done.stderr.decode().splitlines()[-1]
    assert b"Traceback" not in done.stderr


def test_rows_that_a_full_stdout_does_not_take_fail(to_router: list[str], tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", [request(1)])
    run(["batch", str(source), "-o", "out", *to_router])
    done = run(["batch", "open", "out"], stdout="full")
    assert (done.returncode, done.stderr.decode()) == (1, f"nomyo batch: {NO_SPACE}\n")


def test_summary_that_a_full_stdout_does_not_take_comes_after_the_rows(to_router: list[str], tmp_path: Path) -> None:
    source = write_input(tmp_path / "in.jsonl", map(request, range(ROWS)))
    done = run(["batch", str(source), "-o", "out", *to_router, "--json"], stdout="full")
    assert done.returncode == 1
    assert "every row" in json.loads(done.stderr.splitlines()[-1])["error"]["message"]
    assert outcomes(tmp_path / "out") == EXPECTED


@pytest.mark.parametrize("stdout", ["unread", "full"])
def test_reader_that_goes_away_is_no_failure_to_tell_of(stdout: str, tmp_path: Path) -> None:
    done = run(["keys", "generate", "--no-password", "--key-size", "2048"], stdout=stdout)
    assert done.returncode == 1
    assert (tmp_path / "client_keys" / "private_key.pem").exists()
    told = {"unread": b"", "full": f"nomyo keys: {NO_SPACE}; the files are written all the same".encode()}
    assert done.stderr.startswith(told[stdout])
    assert done.stderr.count(b"\n") == (stdout == "full")


@pytest.mark.parametrize("surroundings", [ASCII, C_LOCALE], ids=["ascii", "C"])
def test_report_that_ascii_cannot_hold_fails_no_command(surroundings: dict[str, str], tmp_path: Path) -> None:
    keys = ["--key-dir", str(tmp_path / "ключи"), "--no-password", "--key-size", "2048"]
    made = run(["keys", "generate", *keys], env=surroundings)
    assert (made.returncode, made.stderr) == (0, b"")
    assert made.stdout.isascii()
    assert b"fingerprint" in made.stdout
    again = run(["keys", "rotate", *keys[:2]], env=surroundings)
    assert (again.returncode, again.stderr) == (0, b"")
    refused = run(["keys", "show", "--key-dir", "nirgendwö"], env=surroundings)
    assert (refused.returncode, refused.stderr.isascii()) == (1, True)


def test_what_ascii_cannot_hold_is_an_escape(tmp_path: Path) -> None:
    keys = ["--key-dir", str(tmp_path / "é"), "--no-password", "--key-size", "2048"]
    assert rb"/\xe9" in run(["keys", "generate", *keys], env=ASCII).stdout


@pytest.mark.parametrize("surroundings", [ASCII, C_LOCALE], ids=["ascii", "C"])
def test_answer_is_exact_in_a_pipe_whatever_the_locale(
    surroundings: dict[str, str], to_router: list[str], tmp_path: Path
) -> None:
    (tmp_path / "prompt").write_text("é漢", encoding="utf-8")
    done = run(["chat", "--model", "echo", *to_router, "--secret-file", "prompt"], env=surroundings)
    assert (done.returncode, done.stdout.decode()) == (0, "é漢")


def test_demo_tells_in_ascii_what_it_was_told_in_more() -> None:
    shown = run(["demo", "--message", "Grüß Gott"], env=ASCII)
    assert (shown.returncode, shown.stderr, shown.stdout.isascii()) == (0, b"", True)
    assert "Grüß Gott".encode("ascii", "backslashreplace") in shown.stdout


class _Bare:
    """A stream with nothing but `write`, as programs put in the place of stdout."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


@pytest.mark.parametrize("command", [["--version"], ["doctor"], ["keys", "check", "--key-dir", "keys"]])
def test_streams_of_a_program_need_no_more_than_write(
    command: list[str], client_key: _core.PrivateKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _core.write_key_directory(tmp_path / "keys", client_key)
    out, err = _Bare(), _Bare()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    try:
        assert cli.main(command) == 0
    except SystemExit as end:
        assert end.code == 0  # noqa: PT017
    assert out.text
    assert err.text == ""


@pytest.mark.parametrize("command", [["--version"], ["doctor"], ["nothing"], ["keys", "show"], ["chat", "--help"]])
def test_program_without_streams_can_run_a_command(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that pythonw.exe runs."""
    for name in ("stdout", "stderr", "stdin"):
        monkeypatch.setattr(sys, name, None)
    try:
        code: Any = cli.main(command)
    except SystemExit as end:
        code = end.code
    assert code == {"nothing": 2, "keys": 1}.get(command[0], 0)


def test_stream_of_a_program_that_is_closed_is_told_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stdout", closed)
    assert cli.main(["--version"]) == 1
    assert capsys.readouterr().err == "nomyo: stdout: I/O operation on closed file\n"


def test_command_waits_for_a_pipe_that_somebody_set_not_to_block() -> None:
    """O_NONBLOCK is the pipe's: whoever has it may set it."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    program = "from nomyo.cli.answer_output import write_answer\nwrite_answer(b'x' * 1_000_000)"
    with subprocess.Popen([sys.executable, "-c", program], stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        with open(read, "rb") as end:
            assert len(end.read()) == 1_000_000
        assert process.wait(30) == 0


@pytest.mark.parametrize("stderr", ["full", "stalled"])
def test_log_that_cannot_be_written_stops_no_server(stderr: str, router: RunningRouter, key_directory: Path) -> None:
    command = [*proxied.command(router.url, key_directory), "--json"]
    environment = os.environ | {"NOMYO_PROXY_TOKEN": proxied.TOKEN}
    with (
        OUTPUTS[stderr]() as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment) as process,
    ):
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        proxy = proxied.Proxy.saying(process, said)
        assert [proxied.said_by(proxy.post(proxied.chat("hello"))) for _ in range(3)] == ["hello"] * 3
        process.terminate()
        assert process.wait(30) == 0
