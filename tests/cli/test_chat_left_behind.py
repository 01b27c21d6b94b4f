"""What `nomyo chat` leaves: in memory, nothing of a secret file and its answer; on disk, nothing at all."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.memory_scan import outside
from support.needles import Text, of_password, of_texts
from support.noting_router import NotingRouter
from support.scanned import waiting
from support.scene import Scene
from support.terminal import CTRL_C, CTRL_D, ENTER, in_terminal

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/PID/mem, and needs inotify")

PASSWORD = "a password of sufficient length"
# inotify(7); flags of <sys/inotify.h>.
IN_MODIFY, IN_MOVED_TO, IN_CREATE = 0x2, 0x80, 0x100
EVENT_HEADER = struct.Struct("iIII")


@pytest.mark.parametrize("command", [[], ["--require-locked-memory"], ["--json"]], ids=["text", "required", "json"])
@pytest.mark.parametrize("terminal", [False, True], ids=["file", "terminal"])
def test_secret_file_and_answer_are_never_outside_of_locked_memory(
    scene: Scene, terminal: bool, command: list[str]
) -> None:
    output = scene.directory / "output"
    job = {**scene.job, "command": command, "terminal": terminal, "output": str(output)}
    with waiting("commanded", "sync", scene.directory, job) as child:
        finds = child.search(scene.needles())

    sent = [request["messages"][0]["content"] for request in scene.router.requests]
    assert sent == [message.content for message in scene.messages]
    written = output.read_text()
    if command != ["--json"]:
        end = "\n" if terminal else ""
        assert written == "".join(answer.content + end for answer in scene.answers)
    assert len(written) > sum(len(answer.content) for answer in scene.answers) - 1
    assert finds == []


def test_typed_password_is_in_locked_memory_alone(tmp_path: Path) -> None:
    master, slave = os.openpty()
    asked = threading.Event()

    def type_password() -> None:
        seen = b""
        while b"Password: " not in seen:
            seen += os.read(master, 1024)
        asked.set()
        os.write(master, PASSWORD.encode() + b"\n")

    threading.Thread(target=type_password, daemon=True).start()
    with waiting("asked_password", "sync", tmp_path, {"terminal": os.ttyname(slave)}) as child:
        finds = child.search(of_password(PASSWORD))
    os.close(master)
    os.close(slave)
    assert asked.is_set()
    assert outside(finds) == []
    assert {find.form for find in finds} == {"utf-8"}


def test_password_from_a_file_is_in_locked_memory_alone(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(PASSWORD + "\n")
    with waiting("read_password", "sync", tmp_path, {"password": str(tmp_path / "password")}) as child:
        finds = child.search(of_password(PASSWORD))
    assert outside(finds) == []
    assert {find.form for find in finds} == {"utf-8"}


@pytest.mark.parametrize("interactive", [True, False], ids=["conversation", "one prompt"])
def test_nothing_is_written_to_disk(interactive: bool, tmp_path: Path) -> None:
    with NotingRouter([Text("answer", "an answer")]) as router, watched(tmp_path) as (places, events):
        talk(router, places, [] if interactive else ["what nobody may keep"])
        assert events() == []
        assert [path for place in places.values() for path in place.rglob("*")] == []
        talk(router, places, ["hello", "--key-dir", "keys"])
        assert "keys" in events(), "the watch sees nothing"


def talk(router: NotingRouter, places: dict[str, Path], arguments: list[str]) -> None:
    options = ["--model", "m", "--base-url", router.url, "--allow-http", *arguments]
    env = {"HOME": str(places["home"]), "TMPDIR": str(places["tmp"]), "PYTHONDONTWRITEBYTECODE": "1"}
    env |= {f"XDG_{kind}_HOME": str(places["home"]) for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    with in_terminal("chat", *options, cwd=places["cwd"], env=env) as terminal:
        if not arguments:
            terminal.see("/help tells more.")
            for text, answer in (
                ("what nobody may keep", "an answer"),
                ("/retry", "an answer"),
                ("/info", "our memory"),
            ):
                terminal.wait_for_prompt()
                terminal.type(text, ENTER)
                terminal.see(answer)
            terminal.wait_for_prompt()
            terminal.type("half a line", CTRL_C)
            terminal.see("leaves.")
            terminal.wait_for_prompt()
            terminal.type(CTRL_D)
        assert terminal.end()[0] == 0


@contextmanager
def watched(tmp_path: Path) -> Iterator[tuple[dict[str, Path], Callable[[], list[str]]]]:
    """Watch the directories where programs write: files that come and go are seen, too."""
    libc = ctypes.CDLL(None, use_errno=True)
    watch = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert watch >= 0
    places = {name: tmp_path / name for name in ("home", "cwd", "tmp")}
    for place in places.values():
        place.mkdir()
        assert libc.inotify_add_watch(watch, os.fsencode(place), IN_CREATE | IN_MODIFY | IN_MOVED_TO) >= 0

    def events() -> list[str]:
        try:
            return list(names_in(os.read(watch, 64 * 1024)))
        except BlockingIOError:
            return []

    yield places, events
    os.close(watch)


def names_in(events: bytes) -> Iterator[str]:
    while events:
        *_, length = EVENT_HEADER.unpack_from(events)
        name, events = events[EVENT_HEADER.size :][:length], events[EVENT_HEADER.size + length :]
        yield name.rstrip(b"\0").decode()


def test_search_would_find_what_a_conversation_keeps(scene: Scene) -> None:
    """The control of the first test: the same texts as strings are found."""
    with waiting("asked", "sync", scene.directory, scene.job) as child:
        assert outside(child.search(of_texts(scene.messages)))
