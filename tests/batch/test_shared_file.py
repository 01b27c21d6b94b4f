"""The file through which processes share a rate: theirs alone, one at a time, and whole whoever is killed when."""

from __future__ import annotations

import errno
import fcntl
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo.batch.governor import shared_file
from nomyo.batch.governor.shared_file import BusyError, SharedFile, default_directory
from support.process import output_of, run_python

PROGRAM = """
import os, signal, sys
from pathlib import Path
from nomyo.batch.governor.shared_file import SharedFile
file = SharedFile(Path(sys.argv[1]), "a")
die = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "books"


@pytest.fixture
def file(directory: Path) -> SharedFile:
    return SharedFile(directory, "a")


def _write(file: SharedFile, content: bytes) -> None:
    with file.locked() as turn:
        turn.replace(content)


def _read(file: SharedFile) -> bytes | None:
    with file.locked() as turn:
        return turn.read()


def _refused(file: SharedFile, why: str) -> None:
    with pytest.raises(nomyo.SecurityError, match=why), file.locked() as turn:
        turn.read()


def test_what_one_wrote_another_reads(file: SharedFile, directory: Path) -> None:
    assert _read(file) is None
    _write(file, b"one")
    _write(file, b"two")
    assert _read(SharedFile(directory, "a")) == b"two"
    assert _read(SharedFile(directory, "b")) is None


def test_directory_and_files_are_this_users_alone_whatever_the_umask(file: SharedFile, directory: Path) -> None:
    before = os.umask(0)
    try:
        _write(file, b"one")
    finally:
        os.umask(before)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {each.name: stat.S_IMODE(each.stat().st_mode) for each in directory.iterdir()} == {
        "a.json": 0o600,
        "a.lock": 0o600,
    }


def test_turn_of_another_is_no_place_to_wait(file: SharedFile, directory: Path) -> None:
    with file.locked():
        with pytest.raises(BusyError), SharedFile(directory, "a").locked():
            pass
        _write(SharedFile(directory, "b"), b"another file is free")
    _write(SharedFile(directory, "a"), b"free")


def test_lock_of_a_process_that_was_killed_is_free(file: SharedFile, directory: Path) -> None:
    _write(file, b"before")
    program = PROGRAM + "with file.locked() as turn:\n turn.read()\n die()"
    assert run_python(program, str(directory)).returncode == -signal.SIGKILL
    assert _read(file) == b"before"


@pytest.mark.parametrize("place", ["os.unlink", "os.open", "os.replace"])
def test_process_killed_while_it_writes_has_changed_nothing(file: SharedFile, directory: Path, place: str) -> None:
    _write(file, b"before")
    program = PROGRAM + f"with file.locked() as turn:\n {place} = die\n turn.replace(b'half')\n turn.read()"
    assert run_python(program, str(directory)).returncode == -signal.SIGKILL
    assert _read(file) == b"before"
    _write(file, b"after")
    assert _read(file) == b"after"


def test_failed_write_has_changed_nothing(file: SharedFile, directory: Path) -> None:
    _write(file, b"before")
    program = PROGRAM + (
        "import resource\n"
        "whole = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1, whole[1]))\n"  # as a full disk does: some bytes, then an error
        "with file.locked() as turn:\n"
        " try: turn.replace(b'too long')\n"
        " except OSError as error: print(error.errno, error.filename)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, whole)\n"  # coverage has files to write, too
    )
    assert output_of(program, str(directory)) == f"{errno.EFBIG} {directory / 'a.json'}\n"
    assert _read(file) == b"before"


def test_forked_child_has_no_part_in_a_turn(file: SharedFile, directory: Path) -> None:
    released, held = multiprocessing.get_context("fork").Pipe()
    with file.locked():
        child = os.fork()
        if child == 0:
            released.poll(60)  # holds what it inherited until the parent has looked
            os._exit(0)
    try:
        _write(SharedFile(directory, "a"), b"free")
    finally:
        held.send(None)
        os.waitpid(child, 0)


def test_directory_that_goes_away_is_made_again(file: SharedFile, directory: Path) -> None:
    _write(file, b"one")
    for each in directory.iterdir():
        each.unlink()
    directory.rmdir()
    assert _read(file) is None
    _write(file, b"two")


@pytest.mark.parametrize("step", ["open_directory", "lock", "read"])
def test_directory_that_goes_away_within_a_turn_ends_that_turn_and_no_more(
    file: SharedFile, directory: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    _write(file, b"one")
    owner, name = {
        "open_directory": (shared_file, "_open_directory"),
        "lock": (SharedFile, "_lock"),
        "read": (shared_file._LockedFile, "read"),
    }[step]
    done = getattr(owner, name)

    def then_remove(*arguments: Any) -> Any:
        outcome = done(*arguments)
        shutil.rmtree(directory)
        return outcome

    def have_a_turn() -> None:
        with file.locked() as turn:
            turn.read()
            turn.replace(b"two")

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, then_remove)
        with pytest.raises(BusyError):
            have_a_turn()
    _write(file, b"three")
    assert _read(file) == b"three"


def test_lock_that_was_replaced_meanwhile_is_not_believed(
    file: SharedFile, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(file, b"one")
    flock = fcntl.flock

    def slowly(lock: int, operation: int) -> None:
        (directory / "a.lock").unlink()
        (directory / "a.lock").touch(0o600)
        flock(lock, operation)

    monkeypatch.setattr(fcntl, "flock", slowly)
    with pytest.raises(BusyError), file.locked():
        pass


LINKS: dict[str, Callable[[Path], None]] = {
    "symbolic link": lambda path: path.symlink_to(path.with_name("elsewhere")),
    "link to nothing": lambda path: path.symlink_to("/nonexistent/nothing"),
    "hard link": lambda path: os.link(path.with_name("elsewhere"), path),
    "FIFO": lambda path: os.mkfifo(path, 0o600),
    "directory": lambda path: path.mkdir(0o700),
    "lax mode": lambda path: os.close(os.open(path, os.O_CREAT, 0o640)),
}


@pytest.mark.parametrize("kind", LINKS)
@pytest.mark.parametrize("ending", ["lock", "json"])
def test_anything_but_a_file_of_this_user_alone_is_refused(
    file: SharedFile, directory: Path, ending: str, kind: str
) -> None:
    _write(file, b"mine")
    elsewhere = directory / "elsewhere"
    elsewhere.write_bytes(b"untouched")
    elsewhere.chmod(0o600)
    (directory / f"a.{ending}").unlink()
    LINKS[kind](directory / f"a.{ending}")
    _refused(file, "link|regular|second name|open to other")
    assert elsewhere.read_bytes() == b"untouched"


def test_link_where_the_new_content_is_staged_is_not_followed(file: SharedFile, directory: Path) -> None:
    _write(file, b"mine")
    (directory / "elsewhere").write_bytes(b"untouched")
    (directory / "a.new").symlink_to("elsewhere")
    _write(file, b"new")
    assert _read(file) == b"new"
    assert (directory / "elsewhere").read_bytes() == b"untouched"


def test_directory_that_is_a_link_is_refused(file: SharedFile, directory: Path) -> None:
    (directory.parent / "mine").mkdir(0o700)
    directory.symlink_to("mine")
    _refused(file, "link")
    directory.unlink()
    directory.touch(0o600)
    _refused(file, "no directory")


def test_directory_that_others_can_enter_is_refused(file: SharedFile, directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o750)
    _refused(file, "open to other users")
    assert list(directory.iterdir()) == []


def test_what_belongs_to_another_user_is_refused(
    file: SharedFile, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(file, b"theirs")
    another = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: another)
    _refused(file, "another user")


def test_refusals_and_failures_leave_no_open_file(file: SharedFile, directory: Path) -> None:
    _write(file, b"mine")
    before = os.listdir("/proc/self/fd")
    (directory / "a.json").chmod(0o644)
    _refused(file, "open to other")
    (directory / "a.lock").chmod(0o644)
    _refused(file, "open to other")
    directory.chmod(0o755)
    _refused(file, "open to other")
    directory.chmod(0o700)
    (directory / "a.lock").chmod(0o600)
    with file.locked(), pytest.raises(BusyError), file.locked():
        pass
    with pytest.raises(OSError), SharedFile(directory / "no" / "such", "a").locked():
        pass
    assert os.listdir("/proc/self/fd") == before


def test_platform_without_openat_says_so(file: SharedFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "supports_dir_fd", set())
    with pytest.raises(OSError, match="Windows opens no files below a directory that is held open"), file.locked():
        pass


def test_all_processes_of_a_user_find_one_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = subprocess.run(
        [sys.executable, "-c", "from nomyo.batch.governor.shared_file import default_directory as d; print(d())"],
        env={}, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert shown.stdout == f"{default_directory()}\n"  # a cron job's environment, and this one
    assert default_directory().name == f"nomyo-{os.geteuid()}"
    assert default_directory().parent.stat().st_mode & stat.S_ISVTX


def test_without_shared_memory_they_meet_in_the_temporary_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Path, "is_dir", lambda _: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert default_directory() == tmp_path / f"nomyo-{os.geteuid()}"
