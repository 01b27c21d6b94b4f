"""Many processes on one file of known routers, writers that are killed, and disks that are full."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import nomyo
from nomyo.trust.key_check import check_keys
from nomyo.trust.key_file import read_known
from nomyo.trust.known_routers import KnownRouters
from support.process import output_of

A = "SHA256:" + "A" * 43
B = "SHA256:" + "B" * 43


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "known_routers"


JUDGE = """
import sys
from pathlib import Path
from nomyo.trust.known_routers import KnownRouters
import nomyo
known_routers, own = KnownRouters(Path(sys.argv[1])), sys.argv[2]
for number in range(5):
    for router in (f"shared-{number}:443", f"own-{own}-{number}:443"):
        try:
            known_routers.judge(router, f"SHA256:{own * 43}", f"https://{router}")
        except nomyo.SecurityError:
            print(router)
"""


def test_eight_processes_agree_on_one_first_key_of_each_router(path: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", JUDGE, str(path), own], stdout=subprocess.PIPE, text=True)
        for own in "ABCDEFGH"
    ]

    refused = [process.communicate(timeout=120)[0].split() for process in processes]

    assert [process.returncode for process in processes] == [0] * 8
    known = read_known(path)
    assert len(known) == 5 + 8 * 5
    for number in range(5):
        router = f"shared-{number}:443"
        assert sum(router in each for each in refused) == 7  # all but the one that came first
        key = known[router].key
        assert key is not None
        assert router not in refused["ABCDEFGH".index(key.fingerprint[7])]
    assert not any(router.startswith("own") for each in refused for router in each)
    assert check_keys(KnownRouters(path)).differences == {}


def test_killed_writer_leaves_a_whole_file_and_a_chain_that_goes_on(path: Path) -> None:
    program = JUDGE.replace("range(5)", "range(10_000_000)")
    known_routers = KnownRouters(path)
    for own in "ABC":
        before = len(known_routers.all())
        process = subprocess.Popen([sys.executable, "-c", program, str(path), own], stdout=subprocess.DEVNULL)
        while len(known_routers.all()) < before + 6:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()

    known_routers.judge("after:443", A, "https://after")

    assert known_routers.of("after:443").key is not None
    check = check_keys(known_routers)
    assert len(check.differences) <= 3  # of each killed process, one record that its file may lack


def test_record_that_the_file_lacks_is_told_and_mended_by_the_next_judgement(path: Path) -> None:
    known_routers = KnownRouters(path)
    known_routers.judge("one:443", A, "https://one")
    before = path.read_bytes()
    known_routers.judge("two:443", B, "https://two")
    path.write_bytes(before)  # as if the process had been killed between log and file

    assert check_keys(known_routers).differences == {"two:443": (None, B)}

    known_routers.judge("two:443", B, "https://two")
    assert check_keys(known_routers).differences == {}


def test_file_that_was_edited_is_told(path: Path) -> None:
    known_routers = KnownRouters(path)
    known_routers.judge("one:443", A, "https://one")
    path.write_bytes(path.read_bytes().replace(A.encode(), B.encode()))

    assert check_keys(known_routers).differences == {"one:443": (B, A)}


def test_log_of_someone_elses_making_is_told_at_its_first_broken_link(path: Path) -> None:
    known_routers = KnownRouters(path)
    for router in ("one:443", "two:443", "three:443"):
        known_routers.judge(router, A, f"https://{router}")
    known_routers.log.write_bytes(known_routers.log.read_bytes().replace(b"two:443", b"owt:443"))

    with pytest.raises(nomyo.SecurityError, match=r"known_routers\.log: line 2 does not follow"):
        check_keys(known_routers)


def test_full_disk_is_an_error_and_the_file_stays_as_it_was(path: Path) -> None:
    known_routers = KnownRouters(path)
    known_routers.judge("one:443", A, "https://one")
    program = f"""
import resource, signal, sys
from pathlib import Path
from nomyo.trust.known_routers import KnownRouters
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200, resource.RLIM_INFINITY))
try:
    KnownRouters(Path(sys.argv[1])).judge("two:443", {A!r}, "https://two")
except OSError as error:
    print(error.filename == sys.argv[1] + ".log", error.strerror)
# What measures coverage writes a file at the end.
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
    before = path.read_bytes()

    assert output_of(program, str(path)) == "True File too large\n"

    assert path.read_bytes() == before
    assert check_keys(known_routers).lines == 1


@pytest.mark.outside("root, to give a file away")
def test_file_of_another_user_is_refused(path: Path) -> None:
    known_routers = KnownRouters(path)
    known_routers.judge("one:443", A, "https://one")
    for stolen in (path, known_routers.log):
        os.chown(stolen, 65534, -1)
        with pytest.raises(nomyo.SecurityError, match="belongs to another user"):
            known_routers.judge("two:443", A, "https://two")
        os.chown(stolen, 0, -1)
