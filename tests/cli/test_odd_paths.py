"""Paths that are no ordinary file: streams, pipes, devices, directories. They are done, or told in words, at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nomyo.batch
from nomyo import BatchError, SecureBuffer
from support.batch_scene import request, rows_of, write_input
from support.commands import run_here

ROW = b'{"id":"batch_req_1","custom_id":"a","response":null,"error":{"code":"x","message":"y","line":1}}\n'
NOWHERE = ["--base-url", "http://127.0.0.1:9", "--allow-http", "--patience", "0"]


@pytest.fixture(autouse=True)
def _place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    Path("directory").mkdir()
    Path("out.jsonl").write_bytes(ROW)
    write_input(Path("in.jsonl"), [request(1)])


def nomyo_command(*arguments: str, stdin: Any = subprocess.DEVNULL) -> subprocess.CompletedProcess[bytes]:
    words = [sys.executable, "-m", "nomyo", *arguments]
    given = {"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}
    return subprocess.run(words, capture_output=True, timeout=60, check=False, **given)


def told(done: subprocess.CompletedProcess[bytes]) -> str:
    """Return what a command said in one line, of however many."""
    return " ".join(done.stderr.decode().split())


@pytest.mark.parametrize("source", ["/dev/stdin", "/dev/zero", "pipe", "/dev/null"])
@pytest.mark.parametrize("dry", [True, False])
def test_input_of_a_batch_that_is_no_file_is_told(dry: bool, source: str) -> None:
    done = nomyo_command("batch", source, *(["--dry-run"] if dry else ["-o", "new", *NOWHERE]))
    assert (done.returncode, done.stdout, Path("new").exists()) == (2, b"", False)
    assert "must be a file" in told(done)
    assert source in told(done)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-", "-o", "new"], "the name of new says no format"),
        (["directory", "-o", "new.jsonl"], "the folder directory has no file of a known format"),
        (["in.jsonl", "-o", "-"], "--journal is needed"),
    ],
)
def test_stdin_folder_and_stdout_are_tables(words: list[str], why: str) -> None:
    before = sorted(os.listdir())
    done = nomyo_command("batch", *words, *NOWHERE)
    assert (done.returncode, done.stdout) == (2, b"")
    assert why in told(done)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize("output", ["/dev/stdout", "/dev/fd/1", "pipe", "directory", "/dev/zero", "/dev/null"])
def test_output_of_a_batch_that_is_no_file_is_told(output: str) -> None:
    before = sorted(os.listdir())
    done = nomyo_command("batch", "in.jsonl", "-o", output, "--base-url", "http://127.0.0.1:9", "--allow-http")
    assert (done.returncode, done.stdout) in ((1, b""), (2, b""))
    assert "must be a" in told(done)
    assert output in told(done)
    assert sorted(os.listdir()) == before


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["batch", "in.jsonl", "-o", "new.jsonl/"], "--output"),
        (["batch", "in.jsonl", "-onew.parquet/"], "--output"),
        (["batch", "in.jsonl", "--output=directory/new//"], "--output"),
        (["batch", "in.jsonl", "-o", "new.parquet", "--journal", "new/"], "--journal"),
        (["batch", "in.jsonl", "-o", "new.jsonl", "--metrics-file", "new.prom/"], "--metrics-file"),
        (["batch", "open", "out.jsonl", "-o", "new.jsonl/"], "--output"),
        (["chat", "--model", "m", "Hello", "--audit-log", "new.log/"], "--audit-log"),
    ],
)
def test_name_of_a_folder_is_no_file_to_write(words: list[str], option: str) -> None:
    before = sorted(os.listdir())
    done = run_here(*words)
    assert (done.returncode, done.stdout, sorted(os.listdir())) == (2, "", before)
    said = " ".join(done.stderr.split())
    assert f"{option} must be a file, and new" in said or f"{option} must be a file, and directory/new//" in said
    assert "is the name of a folder" in said


def test_program_is_told_of_an_output_that_is_none(unused_port: int, key_directory: Path) -> None:
    options: dict[str, Any] = {
        "base_url": f"http://127.0.0.1:{unused_port}",
        "allow_http": True,
        "key_dir": key_directory,
    }
    for output in ("pipe", "/dev/zero"):
        with pytest.raises(BatchError, match=f"must be a regular file, and {output} is not one"):
            nomyo.batch.run("in.jsonl", output, **options)


def test_output_is_opened_from_stdin_and_to_stdout() -> None:
    done = nomyo_command("batch", "open", "-", "-o", "-", stdin=ROW)
    assert (done.returncode, done.stdout, sorted(os.listdir())) == (
        0,
        ROW,
        ["directory", "in.jsonl", "out.jsonl", "pipe"],
    )


@pytest.mark.parametrize("output", ["/dev/zero", "/dev/null", "directory"])
def test_output_to_open_that_is_none_is_told(output: str) -> None:
    done = nomyo_command("batch", "open", output)
    assert (done.returncode in (1, 2), done.stdout, output in told(done)) == (True, b"", True)
    with pytest.raises((ValueError, IsADirectoryError), match=output):
        list(nomyo.batch.read(output))


def test_pipe_is_an_output_that_can_be_read() -> None:
    writer = subprocess.Popen(["/bin/sh", "-c", "cat out.jsonl > pipe"])
    assert list(nomyo.batch.read("pipe")) == rows_of(Path("out.jsonl"))
    assert writer.wait(10) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["batch", "in.jsonl", "-o", "new", "--encrypt-to", "/dev/zero", *NOWHERE],
        ["batch", "open", "out.jsonl", "--private-key", "/dev/zero"],
        ["batch", "open", "out.jsonl", "--key-dir", "pipe"],
        ["keys", "generate", "--key-dir", "new", "--password-file", "/dev/zero"],
        ["keys", "show", "--key-dir", "/dev/zero"],
        ["chat", "--model", "m", "--secret-file", "/dev/zero", *NOWHERE[:3]],
        ["chat", "--model", "m", "--secret-file", "directory", *NOWHERE[:3]],
        ["proxy", "--port", "0", "--token-file", "/dev/zero", *NOWHERE[:3]],
        ["proxy", "--port", "0", "--tls-cert", "pipe", "--tls-key", "pipe", *NOWHERE[:3]],
        ["router", "--port", "0", "--tls-cert", "/dev/zero", "--tls-key", "/dev/zero"],
        ["router", "--port", "0", "--tls-cert", "pipe", "--tls-key", "pipe"],
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_other_path_that_is_no_file_is_told_at_once(arguments: list[str]) -> None:
    done = nomyo_command(*arguments)
    assert done.returncode in (1, 2), done.stderr
    assert any(path in told(done) for path in ("/dev/zero", "pipe", "directory", "token's file")), done.stderr
    assert "Traceback" not in told(done)
    assert not Path("new").exists() or not any(Path("new").iterdir())


def test_prompt_without_an_end_is_told() -> None:
    with open("/dev/zero", "rb") as zeros:
        done = nomyo_command("chat", "--model", "m", *NOWHERE[:3], stdin=zeros)
    assert (done.returncode, "the prompt on stdin has no end" in told(done)) == (2, True)


def test_device_without_an_end_is_no_secret() -> None:
    with pytest.raises(OSError, match="File too large") as raised:
        SecureBuffer.from_file("/dev/zero")
    assert raised.value.filename == "/dev/zero"


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["batch", "", "-o", "new"], "IN"),
        (["batch", "", "--dry-run"], "IN"),
        (["batch", "in.jsonl", "-o", ""], "--output"),
        (["batch", "in.jsonl", "--output="], "--output"),
        (["batch", "in.jsonl", "-o", "new", "--encrypt-to", ""], "--encrypt-to"),
        (["batch", "", "--dry-run", "--key-dir", "."], "IN or --key-dir"),
        (["batch", "open", ""], "OUT"),
        (["batch", "open", "out.jsonl", "-o", ""], "--output"),
        (["chat", "--model", "m", "--secret-file", ""], "--secret-file"),
        (["keys", "show", "--key-dir", ""], "--key-dir"),
        (["keys", "show", "--key-dir="], "--key-dir"),
        (["proxy", "--token-file", ""], "--token-file"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_empty_path_is_told_by_its_name_and_not_taken_for_the_current_directory(words: list[str], name: str) -> None:
    before = sorted(os.listdir())
    done = run_here(*words)
    assert (done.returncode, done.stdout, sorted(os.listdir())) == (2, "", before)
    assert f"{name} is empty: it must name a file or a directory" in " ".join(done.stderr.split())


@pytest.mark.slow("starts five commands, one of which tries again to connect")
def test_current_directory_is_a_path_and_an_empty_prompt_none() -> None:
    shown = nomyo_command("keys", "show", "--key-dir", ".")
    assert (shown.returncode, told(shown)) == (1, "nomyo keys: .: has no key pair in it")
    for words in (["-o."], ["-o", "./"], ["--output=."]):
        assert "must be a regular file, and . is not one" in told(nomyo_command("batch", "in.jsonl", *words, *NOWHERE))
    asked = nomyo_command("chat", "--model", "m", "--key-dir", ".", "--base-url", "http://127.0.0.1:9", "")
    assert "is empty: it must name" not in told(asked)
