"""File systems that lack something, are full or read-only: one rule for all files of the package.

The faults are the kernel's own where it can be made to have them (a small or read-only tmpfs), and else put into system
calls by strace, which the program that makes them cannot tell from the kernel's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import nomyo
from nomyo._files import new_files
from nomyo.batch.governor import Governor
from nomyo.batch.governor import governor as governor_module
from nomyo.serve.router.running import RunningRouter
from support.batch_scene import command, outcomes, request, write_input
from support.system_faults import NO_LINK, NO_SYNC, STEADY, URL, python, tmpfs, under_faults


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_input(tmp_path / "in.jsonl", map(request, range(3)))


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out.jsonl"


@pytest.fixture
def run_batch(router: RunningRouter, source: Path, output: Path, key_directory: Path) -> Any:
    def run(faults: list[str], *options: str) -> subprocess.CompletedProcess[str]:
        words = command(source, output, router.url, "--key-dir", str(key_directory), *options)
        return under_faults(words, faults, NOMYO_RATE_DIR="")

    return run


@pytest.mark.outside("strace")
@pytest.mark.parametrize("faults", [NO_SYNC, ["fsync:error=EOPNOTSUPP", "fdatasync:error=ENOSYS"]], ids=str)
def test_batch_goes_on_where_nothing_can_be_synced(faults: list[str], run_batch: Any, output: Path) -> None:
    done = run_batch(faults, "--ordered")
    assert done.returncode == 0, done.stderr
    assert len(outcomes(output)) == 3


@pytest.mark.outside("strace")
def test_disk_that_fails_to_sync_is_told_by_the_files_name(run_batch: Any, output: Path) -> None:
    done = run_batch(["fdatasync:error=EIO"])
    assert (done.returncode, f"{output}: Input/output error" in done.stderr) == (1, True), done.stderr


@pytest.mark.outside("strace")
def test_descriptor_that_was_closed_counts_as_synced_for_a_directory_alone(run_batch: Any, output: Path) -> None:
    """Some file systems say EBADF of a directory that is open for reading; of a file it is a fault of ours."""
    done = run_batch(["fdatasync:error=EBADF"])
    assert (done.returncode, f"{output}: Bad file descriptor" in done.stderr) == (1, True), done.stderr
    program = (
        "import sys; from pathlib import Path; from nomyo._files.file_systems import sync_directory\n"
        "sync_directory(Path(sys.argv[1]))"
    )
    done = under_faults(python(program, output), ["fsync:error=EBADF"])
    assert done.returncode == 0, done.stderr


@pytest.mark.outside("strace")
def test_batch_goes_on_without_locks_and_says_so(run_batch: Any, output: Path) -> None:
    for error in ("ENOLCK", "EOPNOTSUPP", "ENOSYS"):
        output.unlink(missing_ok=True)
        done = run_batch([f"flock:error={error}"])
        assert done.returncode == 0, done.stderr
        assert f"{output}.batch: its file system has no locks" in done.stderr
        assert "rates are kept in this process alone" in done.stderr


@pytest.mark.outside("strace")
def test_lock_that_fails_for_another_reason_is_told_by_the_name_of_what_was_locked(
    run_batch: Any, key_directory: Path
) -> None:
    done = run_batch(["flock:error=EIO"])
    words = f"{key_directory}: --key-dir cannot be used: Input/output error"
    assert (done.returncode, words in done.stderr) == (1, True), done.stderr


REPLACE = """
import sys; from pathlib import Path; from nomyo._files.new_files import created, replace
old, new = Path(sys.argv[1]), Path(sys.argv[2])
replace(old, [b"a" * 3_000_000, b"b"])
with created(new) as descriptor:
    import os; os.write(descriptor, b"content")
try:
    with created(new): raise AssertionError
except FileExistsError: print("never overwritten")
"""


@pytest.mark.outside("strace")
@pytest.mark.parametrize(
    "faults",
    [NO_LINK, ["linkat:error=EOPNOTSUPP", "link:error=ENOSYS"], [*NO_LINK, "fsync:error=EINVAL"]],
    ids=["EPERM", "EOPNOTSUPP", "both"],
)
def test_file_is_made_and_replaced_where_there_are_no_hard_links(faults: list[str], tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.write_bytes(b"before")
    old.chmod(0o640)
    done = under_faults(python(REPLACE, old, new), faults)
    assert (done.returncode, done.stdout, done.stderr) == (0, "never overwritten\n", "")
    assert old.read_bytes() == b"a" * 3_000_000 + b"b"
    assert (new.read_bytes(), old.stat().st_mode & 0o777, new.stat().st_mode & 0o777) == (b"content", 0o640, 0o600)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


def test_file_is_closed_when_it_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows renames no open file, has no nameless ones, and its memory sticks have no hard links."""

    def link(new: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EINVAL, "no links", str(new))

    def rename(new: Path, path: Path) -> None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
        new.rename(path)

    monkeypatch.setattr(new_files, "create_nameless", lambda _: None)
    monkeypatch.setattr(os, "link", link)
    monkeypatch.setattr(os, "replace", rename)
    with new_files.created(tmp_path / "new") as descriptor:
        os.write(descriptor, b"content")
    assert (tmp_path / "new").read_bytes() == b"content"


@pytest.mark.outside("strace")
def test_file_that_came_meanwhile_is_not_overwritten_without_hard_links(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from nomyo._files.new_files import created\n"
        "path = Path(sys.argv[1])\n"
        "try:\n"
        "    with created(path): path.write_bytes(b'precious')\n"
        "except FileExistsError as error: print(error.filename)\n"
    )
    path = tmp_path / "new"
    for faults in (NO_LINK, ["getpgid:error=EPERM"]):
        path.unlink(missing_ok=True)
        done = under_faults(python(program, path), faults)
        assert (done.stdout, done.stderr) == (f"{path}\n", "")
        assert path.read_bytes() == b"precious"
        assert [one.name for one in tmp_path.iterdir()] == ["new"]


@pytest.mark.outside("strace")
def test_file_that_cannot_be_made_leaves_nothing_in_its_place_without_hard_links(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from nomyo._files.new_files import created\n"
        "try:\n"
        "    with created(Path(sys.argv[1])): pass\n"
        "except OSError as error: print(error.strerror)\n"
    )
    done = under_faults(python(program, tmp_path / "new"), [*NO_LINK, "rename:error=EIO", "renameat:error=EIO"])
    assert (done.stdout, done.stderr) == ("Input/output error\n", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.outside("strace")
def test_sealed_output_is_opened_where_there_are_no_hard_links(
    run_batch: Any, output: Path, archive: Path, tmp_path: Path
) -> None:
    run_batch(["getpgid:error=EPERM"], "--encrypt-to", str(archive / "public_key.pem"))
    plain = tmp_path / "plain.jsonl"
    words = [sys.executable, "-m", "nomyo", "batch", "open", str(output), "-o", str(plain), "--key-dir", str(archive)]
    done = under_faults(words, [*NO_LINK, *NO_SYNC])
    assert done.returncode == 0, done.stderr
    assert len(outcomes(plain)) == 3


# The governor's books


@pytest.fixture
def shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of /dev/shm."""
    place = tmp_path / "shm"
    place.mkdir()
    monkeypatch.delenv("NOMYO_RATE_DIR", raising=False)
    monkeypatch.setattr(governor_module, "default_directory", lambda: place / "nomyo-0")
    return place


def _slow_down() -> nomyo.RateLimitError:
    error = nomyo.RateLimitError("slow down", 429)
    error.retry_after = "30"
    return error


def _go(governor: Governor, times: int = 1) -> None:
    async def go() -> None:
        for _ in range(times):
            await governor.acquire()

    asyncio.run(go())


@pytest.mark.outside("root, to mount file systems")
def test_full_shared_memory_leads_to_a_word_and_books_of_ones_own(shared_memory: Path) -> None:
    with tmpfs(shared_memory, "size=64k"):
        (shared_memory / "filling").write_bytes(b"x" * 64 * 1024)
        governor = Governor.shared(STEADY, URL, "key")
        with pytest.warns(UserWarning, match=r"in this process alone.*nomyo-0/.*No space left on device") as warned:
            _go(governor, 3)
    assert len(warned) == 1


@pytest.mark.outside("root, to mount file systems")
def test_shared_memory_that_becomes_read_only_costs_the_rate_nothing(shared_memory: Path) -> None:
    """What the shared books said holds on: a pause, too."""
    with tmpfs(shared_memory, "size=64k"):
        governor = Governor.shared(STEADY, URL, "key")

        async def go() -> None:
            await governor.note(_slow_down())
            subprocess.run(["mount", "-o", "remount,ro", str(shared_memory)], check=True)
            with pytest.warns(UserWarning, match="Read-only file system"), contextlib.suppress(TimeoutError):
                await asyncio.wait_for(governor.acquire(), 0.2)

        asyncio.run(go())
        assert governor.paused_s > 20


@pytest.mark.outside("root, to mount file systems")
def test_read_only_shared_memory_leads_to_a_word_at_once(shared_memory: Path) -> None:
    with tmpfs(shared_memory, "size=64k,ro"):
        with pytest.warns(UserWarning, match=r"nomyo-0 cannot be used \(Read-only file system\)"):
            governor = Governor.shared(STEADY, URL, "key")
        _go(governor)


@pytest.mark.outside("root, to mount file systems")
def test_directory_that_was_asked_for_is_an_error_by_its_name_where_it_is_full(tmp_path: Path) -> None:
    with tmpfs(tmp_path / "small", "size=64k") as small:
        (small / "filling").write_bytes(b"x" * 64 * 1024)
        governor = Governor.shared(STEADY, URL, "key", directory=small / "books")
        with pytest.raises(OSError, match="No space left") as raised:
            _go(governor)
    assert str(raised.value.filename).startswith(str(small / "books") + "/")


@pytest.mark.outside("strace")
def test_directory_that_was_asked_for_is_refused_without_locks(tmp_path: Path) -> None:
    program = (
        "import sys; from nomyo.batch.governor import Governor, Limits\n"
        "try: Governor.shared(Limits(), 'http://127.0.0.1:1', 'k', directory=sys.argv[1])\n"
        "except OSError as error: print(error.strerror, error.filename)\n"
    )
    done = under_faults(python(program, tmp_path / "books"), ["flock:error=ENOLCK"])
    assert done.stdout.startswith(f"No locks available {tmp_path / 'books'}/"), done.stderr
