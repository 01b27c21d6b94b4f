"""`audit_log`: lines are in the file before answers are handed out, and are synced behind that."""

from __future__ import annotations

import errno
import fcntl
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo._files import file_systems
from nomyo.trust import chain, open_chain
from nomyo.trust.audit_log import KIND, audit_log_at
from support.faults import FaultyRouter
from support.process import unmeasured
from support.twins import Twin
from support.waiting import until

QUESTION: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "x"}]}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


def payload_ids(log: Path) -> list[str]:
    """Return the payload IDs of a log whose chain must be whole."""
    return [each.entry["payload_id"] for each in chain.links(log, KIND) if isinstance(each, chain.Link)]


def close_of(chat: Any) -> Callable[[], Any]:
    """Return the method that ends a client and waits for that."""
    return getattr(chat, "aclose", None) or chat.close  # type: ignore[no-any-return]


class Disk:
    """Counts syncs of lines, and fails while it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self.fails = False
        self._sync = file_systems.sync_data
        monkeypatch.setattr(open_chain, "sync_data", self.sync)

    def sync(self, descriptor: int, path: Path) -> None:
        if self.fails:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        self._sync(descriptor, path)
        self.syncs += 1


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def ask_while_syncs_fail(twin: Twin, chat: Any, log: Path, disk: Disk) -> None:
    """Send a request whose answer is handed out, and whose line cannot be synced."""
    disk.fails = True
    twin.call(chat.create, QUESTION)
    audit_log_at(str(log)).hurry()
    until(lambda: audit_log_at(str(log))._chain.has_failed)


def test_lines_are_synced_behind_the_requests_without_any_call(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path, disk: Disk
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)

    twin.call(chat.create, QUESTION)
    audit_log_at(str(log)).hurry()

    until(lambda: disk.syncs == 1)


def test_lines_are_synced_when_the_client_was_closed(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path, disk: Disk
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)
    twin.call(chat.create, QUESTION)

    twin.call(close_of(chat))

    assert disk.syncs == 1


def test_failed_sync_is_told_to_the_next_request_before_anything_is_sent(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path, disk: Disk
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)
    ask_while_syncs_fail(twin, chat, log, disk)

    with pytest.raises(nomyo.ConfigurationError, match=r"could not be synced.*; nothing was sent") as told:
        twin.call(chat.create, QUESTION)
    assert not told.value.sent
    assert len(faulty_router.posts) == 1
    disk.fails = False
    twin.call(chat.create, QUESTION)

    assert payload_ids(log) == [post.headers["x-payload-id"] for post in faulty_router.posts]


def test_lines_that_the_system_dropped_after_a_failed_sync_are_written_again(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path, disk: Disk
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)
    ask_while_syncs_fail(twin, chat, log, disk)
    log.write_bytes(bytes(log.stat().st_size))  # what a read finds where a page never reached the disk
    disk.fails = False

    twin.call(chat.create, QUESTION)

    assert payload_ids(log) == [post.headers["x-payload-id"] for post in faulty_router.posts]


def test_lines_are_written_again_under_the_lock_of_the_file(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path, disk: Disk
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)
    ask_while_syncs_fail(twin, chat, log, disk)
    dropped = bytes(log.stat().st_size)
    log.write_bytes(dropped)
    disk.fails = False
    with log.open("rb+") as other:  # as another process would hold it
        fcntl.flock(other, fcntl.LOCK_EX)
        with ThreadPoolExecutor(1) as thread:
            synced = thread.submit(audit_log_at(str(log))._chain.sync)
            with pytest.raises(TimeoutError):
                synced.result(0.2)
            assert log.read_bytes() == dropped
            fcntl.flock(other, fcntl.LOCK_UN)
            synced.result(20)

    assert payload_ids(log) == [post.headers["x-payload-id"] for post in faulty_router.posts]


def test_close_warns_if_the_last_lines_cannot_be_synced(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path, disk: Disk
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)
    twin.call(chat.create, QUESTION)
    disk.fails = True

    with pytest.warns(UserWarning, match="the last lines of .* may be lost"):
        twin.call(close_of(chat))

    disk.fails = False


def test_log_that_was_moved_away_while_it_is_used_goes_on_in_a_new_file(
    twin: Twin, faulty_router: FaultyRouter, key_directory: Path, log: Path
) -> None:
    chat = twin.chat(faulty_router.url, key_dir=key_directory, audit_log=log)
    twin.call(chat.create, QUESTION)
    moved = log.rename(log.with_name("audit.1"))

    twin.call(chat.create, QUESTION)

    assert payload_ids(moved) + payload_ids(log) == [post.headers["x-payload-id"] for post in faulty_router.posts]


WRITER = """
import sys, warnings
import nomyo
warnings.simplefilter("ignore", UserWarning)
url, key_dir, log = sys.argv[1:]
with nomyo.SyncSecureChatCompletion(url, True, key_dir=key_dir, audit_log=log) as chat:
    while True:
        answer = chat.create(model="m", messages=[{"role": "user", "content": "x"}])
        print(answer["_metadata"]["payload_id"], flush=True)
"""


def test_processes_that_are_killed_lose_no_line_of_an_answer_that_they_handed_out(
    faulty_router: FaultyRouter, key_directory: Path, log: Path
) -> None:
    command = [sys.executable, "-c", WRITER, faulty_router.url, str(key_directory), str(log)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, env=unmeasured()) for _ in range(3)]
    handed_out = set()
    for writer in writers:
        assert writer.stdout is not None
        handed_out |= {writer.stdout.readline().decode() for _ in range(random.randrange(1, 8))}
        writer.send_signal(signal.SIGKILL)
        handed_out |= {line for line in writer.communicate()[0].decode().splitlines(True) if line.endswith("\n")}

    told = payload_ids(log)
    assert {line.strip() for line in handed_out} <= set(told)
    assert len(told) == len(set(told))
