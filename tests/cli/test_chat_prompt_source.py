"""Where the prompt of `nomyo chat` comes from: what is piped in goes before PROMPT, and no idle pipe is waited for."""

from __future__ import annotations

import os
import pty
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import typer

from nomyo.cli.chat import prompt_source
from nomyo.cli.chat.command import main
from nomyo.cli.chat.prompt_source import whole_prompt

Connect = Callable[[int], None]
DIFF = "diff --git a b\n-old é\n+new\n"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Return a function that makes a descriptor stdin."""
    with ExitStack() as opened:

        def replace(descriptor: int) -> None:
            monkeypatch.setattr("sys.stdin", opened.enter_context(open(descriptor, encoding="utf-8")))

        yield replace


def piped(content: bytes) -> int:
    read, write = os.pipe()
    os.write(write, content)
    os.close(write)
    return read


def prompt(text: str | None, *, stdin: bool | None = None, password_file: Path | None = None) -> str:
    return whole_prompt("nomyo chat", text, stdin=stdin, password_file=password_file)


@pytest.mark.parametrize("stdin", [None, True])
@pytest.mark.parametrize("content", [DIFF, DIFF.strip(), DIFF + "\n\n", DIFF.replace("\n", "\r\n")])
def test_what_is_piped_in_goes_before_the_argument(connect: Connect, content: str, stdin: bool | None) -> None:
    connect(piped(content.encode()))
    assert prompt("Review this", stdin=stdin) == content.rstrip("\r\n") + "\n\nReview this"


def test_file_is_read_from_where_it_stands(connect: Connect, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("skipped" + DIFF)
    descriptor = os.open(tmp_path / "file", os.O_RDONLY)
    os.lseek(descriptor, len("skipped"), os.SEEK_SET)
    connect(descriptor)
    assert prompt("Review this") == DIFF + "\nReview this"


def test_socket_is_read_as_a_pipe(connect: Connect) -> None:
    ours, theirs = socket.socketpair()
    ours.sendall(DIFF.encode())
    ours.close()
    connect(theirs.detach())
    assert prompt("Review this") == DIFF + "\nReview this"


def test_blank_or_missing_input_adds_nothing(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    for descriptor in (piped(b""), piped(b" \n"), os.open(os.devnull, os.O_RDONLY), os.open("/dev/zero", os.O_RDONLY)):
        connect(descriptor)
        assert prompt("Review this") == "Review this"
    monkeypatch.setattr("sys.stdin", None)
    assert prompt("Review this") == prompt("Review this", stdin=True) == "Review this"


def test_terminal_is_not_read(connect: Connect) -> None:
    master, slave = pty.openpty()
    os.write(master, b"typed\n")
    connect(slave)
    assert prompt("Review this") == "Review this"
    os.close(master)


def test_idle_pipe_is_left_and_said_to_be(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prompt_source, "IDLE_S", 0.01)
    read, write = os.pipe()
    connect(read)
    assert prompt("Review this") == "Review this"
    os.close(write)
    told = capsys.readouterr().err
    assert told.startswith("nomyo chat: warning: nothing came through stdin for 0.01 s, so PROMPT is sent alone")
    assert "--stdin waits" in told
    assert "--no-stdin" in told


def test_slow_pipe_is_waited_for_where_that_is_asked_for(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_source, "IDLE_S", 0)
    read, write = os.pipe()

    def produce() -> None:
        os.write(write, DIFF.encode())
        os.close(write)

    connect(read)
    timer = threading.Timer(0.1, produce)
    timer.start()
    assert prompt("Review this", stdin=True) == DIFF + "\nReview this"
    timer.join()


@pytest.mark.parametrize("text", [None, "-", "Review this"])
def test_pipe_that_does_not_block_is_read_to_its_end(connect: Connect, text: str | None) -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)
    if text == "Review this":
        os.write(write, b"first part ")

    def produce() -> None:
        os.write(write, b"second part")
        os.close(write)

    connect(read)
    timer = threading.Timer(0.1, produce)
    timer.start()
    assert prompt(text) == ("first part second part\n\nReview this" if text == "Review this" else "second part")
    timer.join()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Review this", "still reading stdin, which has not ended in 0.01 s: --no-stdin leaves it unread"),
        (None, "still reading the prompt from stdin, which has not ended in 0.01 s"),
    ],
)
def test_end_that_does_not_come_is_waited_for_and_said_to_be_once(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, text: str | None, words: str
) -> None:
    told: list[tuple[str, str]] = []
    monkeypatch.setattr(prompt_source, "IDLE_S", 0.01)
    monkeypatch.setattr(prompt_source, "report", lambda *said: told.append(said))
    read, write = os.pipe()
    os.write(write, b"a")

    def trickle() -> None:
        while not told:
            os.write(write, b"b")
        os.write(write, b"c")
        os.close(write)

    connect(read)
    writer = threading.Thread(target=trickle)
    writer.start()
    assert prompt(text).replace("b", "").partition("\n")[0] == "ac"
    writer.join()
    assert told == [("nomyo chat", words)]


def test_stdin_that_was_asked_for_or_is_typed_is_waited_for_without_a_word(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prompt_source, "IDLE_S", 0)
    connect(piped(b"piped"))
    assert prompt("Review this", stdin=True) == "piped\n\nReview this"
    master, slave = pty.openpty()
    os.write(master, b"typed\n\x04")
    connect(slave)
    assert prompt("-") == "typed\n"
    os.close(master)
    assert capsys.readouterr().err == ""


def test_loop_keeps_its_stdin_where_it_is_not_to_be_read(connect: Connect) -> None:
    read = piped(b"the next line\n")
    connect(os.dup(read))
    assert prompt("one", stdin=False) == "one"
    assert os.read(read, 100) == b"the next line\n"
    os.close(read)


@pytest.mark.parametrize("name", ["-", "/dev/fd/{}", "password"])
def test_password_on_stdin_is_not_sent(connect: Connect, tmp_path: Path, name: str) -> None:
    (tmp_path / "password").write_text("a password")
    descriptor = os.open(tmp_path / "password", os.O_RDONLY)
    connect(descriptor)
    path = tmp_path / name if name == "password" else Path(name.format(descriptor))
    assert prompt("Review this", password_file=path) == "Review this"


@pytest.mark.parametrize("text", [None, "-", "Review this"])
def test_input_that_cannot_be_sent_is_refused(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, text: str | None
) -> None:
    connect(piped(b"\xff"))
    with pytest.raises(typer.BadParameter, match="not UTF-8"):
        prompt(text)
    monkeypatch.setattr(prompt_source, "PAYLOAD_LIMIT_BYTES", 3)
    connect(piped(b"long"))
    with pytest.raises(typer.BadParameter, match="more than 3 bytes"):
        prompt(text)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--no-stdin"], "--no-stdin needs a prompt"),
        (["--no-stdin", "-"], "--no-stdin needs a prompt"),
        (["--no-stdin", "--secret-file", "-"], "--no-stdin needs a prompt"),
        (["--stdin", "--secret-file", "x"], "--stdin adds nothing"),
        (["--stdin", "hello", "--key-dir", "x", "--password-file", "-"], "stdin cannot hold the password"),
        (["--reasoning", "--secret-file", "x"], "--json shows the whole answer"),
    ],
)
def test_sources_that_exclude_each_other_are_wrong_use(
    connect: Connect, arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(piped(b""))
    with pytest.raises(SystemExit) as left:
        main(["--model", "m", *arguments])
    assert left.value.code == 2
    assert words in " ".join(capsys.readouterr().err.replace("│", "").split())
