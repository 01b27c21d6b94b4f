"""A console of Windows takes text from Python's own streams alone: bytes would be text of an old code page to it."""

from __future__ import annotations

import io
import os
import sys
from types import SimpleNamespace

import pytest

from nomyo.cli import streams
from nomyo.cli.chat import prompt_source
from nomyo.cli.streams import standard_streams, stdout_bytes, write_stderr

WORDS = "Grüß Gott, 世界"


class Console:
    """What Python gives a program that has a console."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text += text
        return len(text)

    def flush(self) -> None:
        """Keep nothing back."""

    def fileno(self) -> int:
        return 1

    def isatty(self) -> bool:
        return True


def new_console(monkeypatch: pytest.MonkeyPatch) -> Console:
    """Put a console in the place of stdout and stderr, where nobody writes bytes. pytest undoes a fixture's."""

    def refuse(*_: object) -> int:
        raise AssertionError("bytes were written")

    made = Console()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, made)
        monkeypatch.setattr(sys, f"__{name}__", made)
    monkeypatch.setattr(streams, "_HAS_CONSOLES", True)
    monkeypatch.setattr(os, "isatty", lambda _: True)
    monkeypatch.setattr(os, "write", refuse)
    return made


def test_console_gets_text(monkeypatch: pytest.MonkeyPatch) -> None:
    console = new_console(monkeypatch)
    with standard_streams():
        print(WORDS)
        write_stderr(WORDS)
        for piece in (b"\xe4\xb8", b"\x96\n"):  # a character may come in two pieces
            stdout_bytes().write(piece)
        assert (sys.stdout.isatty(), sys.stdout.fileno()) == (True, 1)
    assert console.text == f"{WORDS}\n{WORDS}\n世\n"


def test_prompt_that_is_typed_is_read_from_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    new_console(monkeypatch)
    typed = io.BytesIO(WORDS.encode())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=typed, fileno=lambda: 0, isatty=lambda: True))

    assert prompt_source.whole_prompt("chat", None, stdin=None, password_file=None) == WORDS
