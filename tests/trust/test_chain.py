"""Files of hash-chained lines: what verifies them, what breaks them, and what a killed writer leaves."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import nomyo
from nomyo.trust.chain import MAX_LINE_BYTES, Link, Torn, append, links, locked_chain
from support.process import output_of

KIND = "nomyo test 1"
THREE: list[dict[str, object]] = [{"number": 1}, {"number": 2, "text": '\u00e9 "quoted" \\ \n'}, {"number": 3}]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "chained"
    append(path, KIND, THREE)
    return path


def entries(path: Path, kind: str = KIND) -> list[dict[str, object] | Torn]:
    return [found.entry if isinstance(found, Link) else found for found in links(path, kind)]


def test_entries_come_back_as_they_were_appended(path: Path) -> None:
    append(path, KIND, [{"number": 4}])

    assert entries(path) == [*THREE, {"number": 4}]
    assert path.stat().st_mode & 0o777 == 0o600


def test_chain_can_be_recalculated_from_its_description(path: Path) -> None:
    chain = hashlib.sha256(KIND.encode()).hexdigest()
    for line in path.read_text().splitlines():
        claimed = json.loads(line)["chain"]
        chain = hashlib.sha256((chain + line.replace(f',"chain":"{claimed}"', "")).encode()).hexdigest()
        assert claimed == chain


def test_every_altered_byte_is_told(path: Path) -> None:
    whole = path.read_bytes()
    for place in range(len(whole) - 1):  # without the last line end, the last line is still whole
        altered = bytearray(whole)
        altered[place] ^= 1
        path.write_bytes(altered)
        with pytest.raises(nomyo.SecurityError, match=r"chained: line [1-3] does not follow"):
            entries(path)


@pytest.mark.parametrize(
    ("order", "line"),
    [
        ((0, 2), 2),
        ((1, 2), 1),
        ((0, 2, 1), 2),
        ((0, 1, 1, 2), 3),
        ((0, 1, 2, 2), 4),
        ((0, None, 1, 2), 2),
        ((0, 1, 2, None), 4),
    ],
)
def test_removed_moved_and_inserted_lines_are_told(path: Path, order: tuple[int | None, ...], line: int) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(b"\n" if number is None else lines[number] for number in order))

    with pytest.raises(nomyo.SecurityError, match=f"line {line} does not follow"):
        entries(path)


def test_file_of_another_kind_breaks_at_its_first_line(path: Path) -> None:
    with pytest.raises(nomyo.SecurityError, match="line 1 does not follow"):
        entries(path, "nomyo other 1")


def test_lines_before_a_broken_one_are_yielded(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b'"number":3', b'"number":4'))
    walk = links(path, KIND)

    assert [next(walk).line, next(walk).line] == [1, 2]
    with pytest.raises(nomyo.SecurityError, match="line 3"):
        next(walk)


def test_torn_line_is_told_and_survived_wherever_it_was_cut(path: Path) -> None:
    whole = path.read_bytes()
    begin = whole.rindex(b"\n", 0, -1) + 1
    for end in range(begin + 1, len(whole) - 1):
        path.write_bytes(whole[:end])
        torn = Torn(3, end - begin)
        assert entries(path) == [*THREE[:2], torn]

        append(path, KIND, [{"number": 4}])

        assert entries(path) == [*THREE[:2], torn, {"number": 4}]


def test_line_that_lacks_only_its_end_counts(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])
    assert entries(path) == THREE

    append(path, KIND, [{"number": 4}])

    assert entries(path) == [*THREE, {"number": 4}]


def test_writer_killed_while_it_mends_a_torn_line_is_survived(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    append(path, KIND, [{"number": 4}])
    mended = path.read_bytes()
    for end in range(len(whole) - 9, mended.rindex(b"\n", 0, -1)):
        path.write_bytes(mended[:end])

        append(path, KIND, [{"number": 5}])

        first, second, torn, last = entries(path)
        assert (first, second, last) == (THREE[0], THREE[1], {"number": 5})
        assert isinstance(torn, Torn)


def test_first_line_may_be_torn_too(tmp_path: Path) -> None:
    path = tmp_path / "chained"
    path.write_bytes(b'{"num')
    path.chmod(0o600)

    append(path, KIND, [{"number": 1}])

    assert entries(path) == [Torn(1, 5), {"number": 1}]


def test_zeros_that_a_power_loss_left_are_torn(path: Path) -> None:
    with path.open("ab") as file:
        file.write(bytes(100_000))

    append(path, KIND, [{"number": 4}])

    assert entries(path) == [*THREE, Torn(4, 100_000), {"number": 4}]


def test_file_that_is_no_chain_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "chained"
    path.write_bytes(b"x" * (2 << 20))
    path.chmod(0o600)

    with pytest.raises(nomyo.SecurityError, match="stays as it is"):
        append(path, KIND, [{"number": 1}])

    assert path.stat().st_size == 2 << 20
    with pytest.raises(nomyo.SecurityError, match="line 1 "):
        entries(path)


def test_nothing_is_appended_to_a_file_of_another_kind(path: Path) -> None:
    with pytest.raises(nomyo.SecurityError, match="of another kind"):
        append(path, "another 1", [{"number": 4}])

    assert entries(path) == THREE


@pytest.mark.parametrize("text", [b"my notes", b"my notes\n", b'{"a": 1}', b'{"a": 1}\n', b'{"a": 1\n}'])
def test_short_file_of_somebody_else_is_refused_and_kept(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "chained"
    path.write_bytes(text)
    path.chmod(0o600)

    with pytest.raises(nomyo.SecurityError, match="stays as it is"):
        append(path, KIND, [{"number": 1}])

    assert path.read_bytes() == text


@pytest.mark.parametrize("entry", [{}, {"chain": 1}, {"torn_bytes": 1}, {"text": "x" * MAX_LINE_BYTES}])
def test_entry_that_could_not_be_verified_is_refused(path: Path, entry: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="an entry must"):
        append(path, KIND, [{"number": 4}, entry])

    assert entries(path) == THREE


def test_link_foreign_mode_and_second_name_are_refused(path: Path, tmp_path: Path) -> None:
    link, second = tmp_path / "link", tmp_path / "second"
    link.symlink_to(path)
    with pytest.raises(nomyo.SecurityError, match="symbolic link"):
        append(link, KIND, THREE)
    path.chmod(0o620)
    with pytest.raises(nomyo.SecurityError, match="0620"):
        append(path, KIND, THREE)
    path.chmod(0o600)
    os.link(path, second)
    with pytest.raises(nomyo.SecurityError, match="second name"):
        append(path, KIND, THREE)
    with pytest.raises(nomyo.SecurityError, match="no regular file"):
        append(tmp_path, KIND, THREE)
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(nomyo.SecurityError, match="no regular file"):
        append(tmp_path / "pipe", KIND, THREE)


APPENDER = """
import sys
from pathlib import Path
from nomyo.trust.chain import append
for number in range(25):
    append(Path(sys.argv[1]), "nomyo test 1", [{"process": sys.argv[2], "number": number}, {"second": number}])
"""


def test_eight_processes_append_whole_groups_to_one_chain(tmp_path: Path) -> None:
    path = tmp_path / "chained"
    command = [sys.executable, "-c", APPENDER, str(path)]
    processes = [subprocess.Popen([*command, str(number)]) for number in range(8)]

    assert [process.wait(120) for process in processes] == [0] * 8

    found = entries(path)
    assert len(found) == 8 * 25 * 2
    assert all(isinstance(one, dict) for one in found)
    for first, second in zip(found[::2], found[1::2], strict=True):
        assert isinstance(first, dict)
        assert second == {"second": first["number"]}


def test_killed_writer_leaves_a_chain_that_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "chained"
    program = APPENDER.replace("range(25)", "range(10_000_000)")
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-c", program, str(path), "killed"])
        before = path.stat().st_size if path.exists() else 0
        while not path.exists() or path.stat().st_size < before + 2000:
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()

    append(path, KIND, [{"number": "last"}])

    assert entries(path)[-1] == {"number": "last"}


def test_locked_file_that_is_not_given_back_is_an_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nomyo._files.private_files.LONGEST_WAIT_S", 0.05)

    with locked_chain(path, KIND), pytest.raises(TimeoutError, match="another process has locked it"):
        append(path, KIND, [{"number": 4}])


def test_full_disk_leaves_none_of_the_entries() -> None:
    program = """
import resource, signal, sys, tempfile
from pathlib import Path
from nomyo.trust.chain import append, links
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with tempfile.TemporaryDirectory() as directory:
    path = Path(directory) / "chained"
    append(path, "k", [{"number": 1}])
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 150, resource.RLIM_INFINITY))
    try:
        append(path, "k", [{"number": 2}, {"text": "x" * 200}])
    except OSError as error:
        print(error.filename == str(path), [one.entry for one in links(path, "k")])
    # What measures coverage writes a file at the end.
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
    assert output_of(program) == "True [{'number': 1}]\n"


def test_disk_that_fails_to_sync_leaves_none_of_the_entries(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "the disk fails")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(OSError, match="the disk fails"):
            append(path, KIND, [{"number": 7}])

    assert path.read_bytes() == before


@pytest.mark.parametrize("text", [b'{"a": 1}', b"somebody's text", b"7"])
def test_short_file_of_somebody_else_is_no_torn_line(path: Path, text: bytes) -> None:
    path.write_bytes(text)

    with pytest.raises(nomyo.SecurityError, match="line 1 does not follow"):
        entries(path)
