"""What tells of the work never ends it: logs, warnings, progress."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

import nomyo.batch
from nomyo._warn import log_named, warn
from nomyo.batch.progress import NoProgress
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import EXPECTED, NO_COOL_DOWN, ROWS, outcomes, request, write_input
from support.terminal import in_terminal
from support.twins import Twin

HELLO = {"model": "echo", "messages": [{"role": "user", "content": "hello"}]}


class _Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise ZeroDivisionError


def _closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("fault", ["handler", "filter", "closed stderr", "no stderr"])
def test_debug_log_that_fails_fails_no_request(
    fault: str, twin: Twin, router: RunningRouter, key_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = logging.getLogger("nomyo")
    if fault == "handler":
        log.addHandler(_Broken())
    elif fault == "filter":
        monkeypatch.setattr(log, "filters", [lambda _: 1 / 0])
    else:
        monkeypatch.setattr(sys, "stderr", None if fault == "no stderr" else _closed())
    chat = twin.chat(router.url, key_dir=key_directory, debug=True)
    assert twin.call(chat.create, **HELLO)["choices"][0]["message"]["content"] == "hello"


def test_line_of_the_log_names_the_place_that_it_is_of(caplog: pytest.LogCaptureFixture) -> None:
    log_named("nomyo").warning("a word")
    assert [record.filename for record in caplog.records] == ["test_telling.py"]


@pytest.mark.filterwarnings("always")
def test_warning_that_cannot_be_shown_fails_nothing(twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", _closed())
    monkeypatch.setattr(warnings, "_showwarnmsg_impl", lambda _: 1 / 0)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        twin.chat("http://127.0.0.1:9")


def test_warning_that_a_filter_makes_an_error_is_one() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="a word"):
            warn("a word")


def test_warning_names_the_line_that_it_is_of() -> None:
    with pytest.warns(UserWarning, match="a word") as seen:
        warn("a word")
    assert [Path(one.filename).name for one in seen] == ["test_telling.py"]


class _Raising(NoProgress):
    def __init__(self) -> None:
        self.calls: set[str] = set()

    def _raise(self, name: str) -> None:
        self.calls.add(name)
        raise ZeroDivisionError

    def begin(self, rows: int, done: int, failed: int) -> None:
        self._raise("begin")

    def row(self, *, failed: bool, tokens: int) -> None:
        self._raise("row")

    def tell(self, words: str) -> None:
        self._raise("tell")

    def end(self) -> None:
        self._raise("end")


def test_progress_that_raises_does_not_end_a_batch(
    router: RunningRouter, key_directory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = write_input(tmp_path / "in.jsonl", map(request, range(ROWS)))
    (tmp_path / "out").touch()
    progress = _Raising()
    options: dict[str, Any] = {"base_url": router.url, "allow_http": True, "key_dir": key_directory}
    summary = nomyo.batch.run(source, tmp_path / "out", limits=NO_COOL_DOWN, progress=progress, **options)
    assert (summary.succeeded, progress.calls) == (ROWS, {"begin", "row", "end"})
    assert outcomes(tmp_path / "out") == EXPECTED
    assert [record.getMessage() for record in caplog.records if record.name == "nomyo.batch"] == [
        "the batch goes on, but its progress cannot be reported: ZeroDivisionError"
    ]


@pytest.mark.parametrize(("columns", "term"), [(0, "xterm"), (1, "xterm"), (80, ""), (80, "dumb"), (80, "unknown")])
def test_terminal_that_can_show_little_does_not_end_a_batch(
    columns: int, term: str, router: RunningRouter, key_directory: Path, tmp_path: Path
) -> None:
    source = write_input(tmp_path / "in.jsonl", map(request, range(ROWS)))
    own = ["--base-url", router.url, "--allow-http", "--key-dir", str(key_directory)]
    with in_terminal("batch", str(source), "-o", "out", *own, columns=columns, env={"TERM": term}) as terminal:
        code, shown = terminal.end()
    assert (code, "Traceback" in shown) == (0, False)
    assert outcomes(tmp_path / "out") == EXPECTED


@pytest.mark.parametrize("term", ["", "dumb", "unknown"])
def test_conversation_works_in_a_terminal_that_can_do_little(
    term: str, router: RunningRouter, key_directory: Path
) -> None:
    own = ["--base-url", router.url, "--allow-http", "--key-dir", str(key_directory)]
    with in_terminal("chat", "--model", "echo", *own, env={"TERM": term}) as terminal:
        terminal.see("/help tells more")
        terminal.wait_for_prompt()
        terminal.type("hello there", "\r")
        terminal.see("hello there\r\n")
        terminal.wait_for_prompt()
        terminal.type("\x04")
        assert terminal.end()[0] == 0
